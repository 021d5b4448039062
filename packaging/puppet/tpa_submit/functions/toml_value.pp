# One value as TOML.
#
# @param value what to write
function tpa_submit::toml_value(Tpa_submit::Value $value) >> String {
  $value ? {
    String  => "\"${value.regsubst('([\\\\"])', '\\\\\\1', 'G').regsubst("\n", '\\n', 'G').regsubst("\t", '\\t', 'G')}\"",
    Array   => "[${value.map |$each| { tpa_submit::toml_value($each) }.join(', ')}]",
    default => String($value),
  }
}
