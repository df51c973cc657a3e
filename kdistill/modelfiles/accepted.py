"""The classes and functions that the config of a model may name: a closed list, by Keras module.

A class is on it if its config holds plain values only, or objects that are checked themselves: no code, no files, no
addresses. `NOT_ACCEPTED` has what Keras 3.15 offers besides, with the reason; a test holds both against the installed
Keras, so that a new class of a later version is decided on, not overlooked.
"""

MODELS = {("keras", "Sequential"), ("keras.src.models.functional", "Functional")}

_NAMES = {
    "keras": "Sequential DTypePolicy FloatDTypePolicy",
    "keras.src.models.functional": "Functional",
    "keras.layers": """
        InputLayer Identity Dense EinsumDense Embedding ReversibleEmbedding Masking Flatten Reshape Permute RepeatVector
        Conv1D Conv2D Conv3D Conv1DTranspose Conv2DTranspose Conv3DTranspose
        DepthwiseConv1D DepthwiseConv2D SeparableConv1D SeparableConv2D
        MaxPooling1D MaxPooling2D MaxPooling3D AveragePooling1D AveragePooling2D AveragePooling3D
        GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
        GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
        AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D
        AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
        ZeroPadding1D ZeroPadding2D ZeroPadding3D Cropping1D Cropping2D Cropping3D
        UpSampling1D UpSampling2D UpSampling3D
        BatchNormalization LayerNormalization GroupNormalization UnitNormalization RMSNormalization
        SpectralNormalization
        Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D AlphaDropout GaussianDropout GaussianNoise
        ActivityRegularization
        Activation ReLU LeakyReLU PReLU ELU Softmax
        Add Subtract Multiply Average Maximum Minimum Concatenate Dot
        Attention AdditiveAttention MultiHeadAttention GroupQueryAttention
        LSTM GRU SimpleRNN ConvLSTM1D ConvLSTM2D ConvLSTM3D RNN LSTMCell GRUCell SimpleRNNCell StackedRNNCells
        Bidirectional TimeDistributed
        Rescaling Normalization Resizing CenterCrop Discretization CategoryEncoding Hashing HashedCrossing
        STFTSpectrogram MelSpectrogram
        RandomCrop RandomFlip RandomTranslation RandomRotation RandomZoom RandomContrast RandomBrightness
        RandomColorDegeneration RandomColorJitter RandomElasticTransform RandomErasing RandomGaussianBlur
        RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization RandomSaturation RandomSharpness
        RandomShear AugMix AutoContrast ContrastLimitedAdaptiveHistogramEqualization Equalization RandAugment
        Solarization Pipeline""",
    # Layers of `keras.applications` that Keras does not export.
    "keras.src.applications.convnext": "LayerScale StochasticDepth",
    "keras.src.applications.inception_resnet_v2": "CustomScaleLayer",
    "keras.initializers": """
        Zeros Ones Constant Identity GlorotNormal GlorotUniform HeNormal HeUniform LecunNormal LecunUniform
        Orthogonal RandomNormal RandomUniform STFT TruncatedNormal VarianceScaling
        IdentityInitializer OrthogonalInitializer STFTInitializer""",  # their names until Keras 3.6
    "keras.regularizers": "L1 L2 L1L2 OrthogonalRegularizer",
    "keras.constraints": "MaxNorm MinMaxNorm NonNeg UnitNorm",
    "keras.dtype_policies": "Int4DTypePolicy QuantizedDTypePolicy QuantizedFloat8DTypePolicy",
    "keras.quantizers": "AbsMaxQuantizer Int8QuantizationConfig Int4QuantizationConfig Float8QuantizationConfig",
    # Created by operators such as `x + y` and by `keras.ops` and `keras.activations`: all but those with functions.
    "keras.src.activations.activations": "ReLU Mish",
    "keras.src.ops.core": """
        Cast ConvertToTensor SaturateCast Scatter ScatterUpdate Slice SliceUpdate StopGradient Unstack""",
    "keras.src.ops.einops": "Rearrange",
    "keras.src.ops.image": """
        AffineTransform CropImages ElasticTransform ExtractPatches GaussianBlur HSVToRGB MapCoordinates PadImages
        PerspectiveTransform RGBToGrayscale RGBToHSV Resize SSIM ScaleAndTranslate SobelEdges""",
    "keras.src.ops.linalg": """
        Cholesky CholeskyInverse Det Eig Eigh Inv Lstsq LuFactor MatrixRank Norm Pinv Qr SVD Solve SolveTriangular""",
    "keras.src.ops.math": """
        CDist Erf Erfc Erfinv ExtractSequences FFT FFT2 IFFT2 IRFFT ISTFT InTopK Logdet Logsumexp RFFT Rsqrt STFT
        SegmentMax SegmentMin SegmentProd SegmentSum TopK ViewAsComplex ViewAsReal""",
    "keras.src.ops.nn": """
        AdaptiveAveragePool AdaptiveMaxPool AveragePool BatchNorm BinaryCrossentropy CTCDecode CTCLoss
        CategoricalCrossentropy Celu Conv ConvTranspose DepthToSpace DepthwiseConv DotProductAttention Elu Fold Gelu Glu
        HardShrink HardSigmoid HardSilu HardTanh LayerNorm LeakyRelu LogSigmoid LogSoftmax MaxPool Moments MultiHot
        Normalize OneHot PSNR Polar RMSNorm Relu Relu6 Selu SeparableConv Sigmoid Silu SoftShrink Softmax Softplus
        Softsign SpaceToDepth SparseCategoricalCrossentropy SparsePlus SparseSigmoid Sparsemax Squareplus TanhShrink
        Threshold Unfold""",
    "keras.src.ops.numpy": """
        Abs Absolute Add All AllClose Amax Amin Angle Any Append Arange Arccos Arccosh Arcsin Arcsinh Arctan Arctan2
        Arctanh Argmax Argmin Argpartition Argsort Array ArraySplit Average Bincount BitwiseAnd BitwiseInvert
        BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift BitwiseXor BroadcastTo Cbrt Ceil Clip Concatenate Conj
        Conjugate Copy Corrcoef Correlate Cos Cosh CountNonzero Cross Cumprod Cumsum Deg2rad Diag Diagflat Diagonal Diff
        Digitize Divide DivideNoNan Dot Dsplit Dstack Einsum EmptyLike Equal Exp Exp2 ExpandDims Expm1 Fabs Flip Fliplr
        Flipud Floor FloorDivide Fmax Fmin Fmod Full FullLike Gcd Geomspace GetItem Greater GreaterEqual Heaviside
        Histogram Hsplit Hstack Hypot I0 Imag Inner IsIn Isclose Isfinite Isinf Isnan Isneginf Isposinf Isreal Kron Lcm
        Ldexp LeftShift Less LessEqual Linspace Log Log10 Log1p Log2 Logaddexp Logaddexp2 LogicalAnd LogicalNot
        LogicalOr LogicalXor Logspace Matmul Max Maximum Mean Median Meshgrid Min Minimum Mod Moveaxis Multiply NanToNum
        Nanargmax Nanargmin Nancumprod Nancumsum Nanmax Nanmean Nanmedian Nanmin Nanpercentile Nanprod Nanquantile
        Nanstd Nansum Nanvar Ndim Negative Nextafter Nonzero NotEqual OnesLike Outer Pad Percentile Power Prod Ptp
        Quantile Rad2deg Ravel Real Reciprocal Repeat Reshape RightShift Roll Rot90 Round SearchSorted Select Sign
        Signbit Sin Sinc Sinh Size Slogdet Sort Split Sqrt Square Squeeze Stack Std Subtract Sum Swapaxes Take
        TakeAlongAxis Tan Tanh Tensordot Tile Trace Transpose Trapezoid Tril Triu TrueDivide Trunc Unique UnravelIndex
        Vander Var Vdot View Vsplit Vstack Where ZerosLike""",
}
ALLOWED = frozenset((module, name) for module, names in _NAMES.items() for name in names.split())
LAYERS = sorted(_NAMES["keras.layers"].split())

# Functions of `keras.activations`, which Keras itself looks up by these names.
_FUNCTIONS_BY_NAME = """
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear log_sigmoid
    log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid
    sparsemax squareplus swish tanh tanh_shrink threshold"""
ACTIVATIONS = frozenset(_FUNCTIONS_BY_NAME.split())

_CODE = "it carries code, and code in a model file is never run"
_OUTSIDE = "it reads other files than this one"
_FUNCTIONS = "it calls a function that is given to it"
_LABELS = "it changes the labels of the images too, which a model does not see"
_BASE = "it is a base class without a computation of its own"
_CALIBRATED = "it is quantized with a calibration (GPTQ, AWQ)"
# By module: what Keras offers besides, with the reason.
NOT_ACCEPTED = {
    "keras.layers": {
        **dict.fromkeys(["Lambda", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"], _CODE),
        **dict.fromkeys(["TFSMLayer", "StringLookup", "IntegerLookup", "TextVectorization"], _OUTSIDE),
        **dict.fromkeys(["MixUp", "CutMix", "MaxNumBoundingBoxes"], _LABELS),
        "Wrapper": _BASE,
    },
    "keras": dict.fromkeys(["Layer", "InputSpec", "Initializer", "Regularizer", "Quantizer"], _BASE),
    "keras.constraints": {"Constraint": _BASE},
    "keras.src.ops.core": dict.fromkeys(
        ["AssociativeScan", "Cond", "ForiLoop", "Map", "Scan", "Switch", "VectorizedMap", "WhileLoop"], _FUNCTIONS
    ),
    "keras.src.ops.linalg": {"JVP": _FUNCTIONS},
    "keras.src.ops.math": {"SegmentReduction": _BASE},
    "keras.src.ops.function": {"Function": _FUNCTIONS},
    "keras.src.ops.operation": {"Operation": _BASE},
    "keras.dtype_policies": {
        **dict.fromkeys(["GPTQDTypePolicy", "AWQDTypePolicy"], _CALIBRATED),
        "DTypePolicyMap": "it finds layers by patterns, which may take for ever to match",
    },
    "keras.quantizers": {
        **dict.fromkeys(["GPTQConfig", "AWQConfig"], _CALIBRATED),
        "QuantizationConfig": _BASE,
    },
}
# Wherever they are, also without a module: told by name, whatever else the config says.
REASONS = {name: reason for name, reason in NOT_ACCEPTED["keras.layers"].items() if reason in (_CODE, _OUTSIDE)} | {
    "__lambda__": _CODE
}

# Plain data, with the keys that Keras reads.
VALUES = {
    "__keras_tensor__": {"shape", "dtype", "keras_history"},
    "__numpy__": {"value", "dtype"},
    "__tensor__": {"value", "dtype"},
    "__slice__": {"start", "stop", "step"},
    "__ellipsis__": set(),
}
ARRAYS = ("__numpy__", "__tensor__")
_BITS = {"float": (16, 32, 64), "bfloat": (16,), "int": (8, 16, 32, 64), "uint": (8, 16, 32, 64)}
NUMBERS = frozenset(f"{kind}{bits}" for kind, sizes in _BITS.items() for bits in sizes) | {"bool"}
