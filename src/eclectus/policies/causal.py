MODEL_TYPES = ()


class CausalPolicy: ...
