"""Keras layers: they know tensors, never a field."""

from typing import TYPE_CHECKING

from recsys._face import public_face

if TYPE_CHECKING:
    from recsys.layers.activation import Dice, PRelu, get_activation
    from recsys.layers.activation_unit import AttentionLayer
    from recsys.layers.aggregation import get_agg_layer
    from recsys.layers.attention import (
        BaseAttention,
        BilinearAttention,
        CrossAttention,
        MultiHeadAttention,
    )
    from recsys.layers.base import Layer
    from recsys.layers.domain import EPNet, GateNU, PPNet
    from recsys.layers.elementary import Identity, WeightedSum
    from recsys.layers.experts import Experts
    from recsys.layers.gates import Gate, GatingNetwork, Mixture, gate_values
    from recsys.layers.heads import PredictLayer, predict, task_towers
    from recsys.layers.history_transformer import TIM, TransformerLayer
    from recsys.layers.hstu import HSTULayer
    from recsys.layers.interaction.bilinear import BilinearInteraction, BiLinearLayer
    from recsys.layers.interaction.cross import CrossNet
    from recsys.layers.interaction.expert import InteractionExpert
    from recsys.layers.interaction.field_weighted import FEFM, FFM, FmFM, FvFM, FwFM
    from recsys.layers.interaction.fm import FM
    from recsys.layers.interaction.gwpfm import GwPFM
    from recsys.layers.interaction.product import (
        InnerProduct,
        KernelProduct,
        NetProduct,
        OuterProduct,
        ProductLayer,
    )
    from recsys.layers.interaction.senet import FieldSENet, SENet
    from recsys.layers.interests import CapsuleInterests, SelfAttentiveInterests
    from recsys.layers.losses import LossLayer
    from recsys.layers.mask_embedding import MaskEmbedding
    from recsys.layers.matching.cosine_contrastive import CosineContrastive
    from recsys.layers.matching.in_batch_softmax import InBatchSoftmax
    from recsys.layers.matching.match_loss import MatchLoss
    from recsys.layers.matching.sampled import (
        BPRMax,
        SampledBPR,
        SampledCrossentropy,
        Top1,
    )
    from recsys.layers.matching.sampled_softmax import SampledSoftmax
    from recsys.layers.meta import MetaAttention, MetaTower, MetaUnit
    from recsys.layers.mlp import FeedForwardLayer, Tower
    from recsys.layers.pooling import MaxPoolingLayer, MeanPoolingLayer, SumPoolingLayer
    from recsys.layers.positions import PositionalEmbedding
    from recsys.layers.recurrent import AttentionGRU, GRUStates
    from recsys.layers.search import SimHash, TakeSteps, TopSteps
    from recsys.layers.star import PartitionedNormalization, StarTopologyFCN
    from recsys.layers.streams import DomainTowers, SelectDomain, StackedExtraction
    from recsys.layers.table import DenseEmbedding, Embedding, PiecewiseLinear
    from recsys.layers.transformer import Encoder, EncoderLayer, FeedForward

__all__ = [
    "AttentionGRU",
    "AttentionLayer",
    "BPRMax",
    "BaseAttention",
    "BiLinearLayer",
    "BilinearAttention",
    "BilinearInteraction",
    "CapsuleInterests",
    "CosineContrastive",
    "CrossAttention",
    "CrossNet",
    "DenseEmbedding",
    "Dice",
    "DomainTowers",
    "EPNet",
    "Embedding",
    "Encoder",
    "EncoderLayer",
    "Experts",
    "FEFM",
    "FFM",
    "FM",
    "FeedForward",
    "FeedForwardLayer",
    "FieldSENet",
    "FmFM",
    "FvFM",
    "FwFM",
    "GRUStates",
    "Gate",
    "GateNU",
    "GatingNetwork",
    "GwPFM",
    "HSTULayer",
    "Identity",
    "InBatchSoftmax",
    "InnerProduct",
    "InteractionExpert",
    "KernelProduct",
    "Layer",
    "LossLayer",
    "MaskEmbedding",
    "MatchLoss",
    "MaxPoolingLayer",
    "MeanPoolingLayer",
    "MetaAttention",
    "MetaTower",
    "MetaUnit",
    "Mixture",
    "MultiHeadAttention",
    "NetProduct",
    "OuterProduct",
    "PPNet",
    "PRelu",
    "PartitionedNormalization",
    "PiecewiseLinear",
    "PositionalEmbedding",
    "PredictLayer",
    "ProductLayer",
    "SENet",
    "SampledBPR",
    "SampledCrossentropy",
    "SampledSoftmax",
    "SelectDomain",
    "SelfAttentiveInterests",
    "SimHash",
    "StackedExtraction",
    "StarTopologyFCN",
    "SumPoolingLayer",
    "TIM",
    "TakeSteps",
    "Top1",
    "TopSteps",
    "Tower",
    "TransformerLayer",
    "WeightedSum",
    "gate_values",
    "get_activation",
    "get_agg_layer",
    "predict",
    "task_towers",
]

public_face(
    __name__,
    {
        "recsys.layers.activation": ["Dice", "PRelu", "get_activation"],
        "recsys.layers.activation_unit": ["AttentionLayer"],
        "recsys.layers.aggregation": ["get_agg_layer"],
        "recsys.layers.attention": [
            "BaseAttention",
            "BilinearAttention",
            "CrossAttention",
            "MultiHeadAttention",
        ],
        "recsys.layers.base": ["Layer"],
        "recsys.layers.domain": ["EPNet", "GateNU", "PPNet"],
        "recsys.layers.elementary": ["Identity", "WeightedSum"],
        "recsys.layers.experts": ["Experts"],
        "recsys.layers.gates": ["Gate", "GatingNetwork", "Mixture", "gate_values"],
        "recsys.layers.heads": ["PredictLayer", "predict", "task_towers"],
        "recsys.layers.history_transformer": ["TIM", "TransformerLayer"],
        "recsys.layers.hstu": ["HSTULayer"],
        "recsys.layers.interaction.bilinear": ["BiLinearLayer", "BilinearInteraction"],
        "recsys.layers.interaction.cross": ["CrossNet"],
        "recsys.layers.interaction.expert": ["InteractionExpert"],
        "recsys.layers.interaction.field_weighted": [
            "FEFM",
            "FFM",
            "FmFM",
            "FvFM",
            "FwFM",
        ],
        "recsys.layers.interaction.fm": ["FM"],
        "recsys.layers.interaction.gwpfm": ["GwPFM"],
        "recsys.layers.interaction.product": [
            "InnerProduct",
            "KernelProduct",
            "NetProduct",
            "OuterProduct",
            "ProductLayer",
        ],
        "recsys.layers.interaction.senet": ["FieldSENet", "SENet"],
        "recsys.layers.interests": ["CapsuleInterests", "SelfAttentiveInterests"],
        "recsys.layers.losses": ["LossLayer"],
        "recsys.layers.mask_embedding": ["MaskEmbedding"],
        "recsys.layers.matching.cosine_contrastive": ["CosineContrastive"],
        "recsys.layers.matching.in_batch_softmax": ["InBatchSoftmax"],
        "recsys.layers.matching.match_loss": ["MatchLoss"],
        "recsys.layers.matching.sampled": [
            "BPRMax",
            "SampledBPR",
            "SampledCrossentropy",
            "Top1",
        ],
        "recsys.layers.matching.sampled_softmax": ["SampledSoftmax"],
        "recsys.layers.meta": ["MetaAttention", "MetaTower", "MetaUnit"],
        "recsys.layers.mlp": ["FeedForwardLayer", "Tower"],
        "recsys.layers.pooling": [
            "MaxPoolingLayer",
            "MeanPoolingLayer",
            "SumPoolingLayer",
        ],
        "recsys.layers.positions": ["PositionalEmbedding"],
        "recsys.layers.recurrent": ["AttentionGRU", "GRUStates"],
        "recsys.layers.search": ["SimHash", "TakeSteps", "TopSteps"],
        "recsys.layers.star": ["PartitionedNormalization", "StarTopologyFCN"],
        "recsys.layers.streams": ["DomainTowers", "SelectDomain", "StackedExtraction"],
        "recsys.layers.table": ["DenseEmbedding", "Embedding", "PiecewiseLinear"],
        "recsys.layers.transformer": ["Encoder", "EncoderLayer", "FeedForward"],
    },
)
