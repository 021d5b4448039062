# What a setting of tpa-submit.toml(5) may be.
type Tpa_submit::Value = Variant[String, Numeric, Boolean, Array[String]]
