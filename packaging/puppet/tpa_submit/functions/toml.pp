# A hash as TOML: values first, then its tables; a list of hashes is a list of tables. In the order of the names, so that
# the same hash always gives the same file.
#
# @param data what to write
# @param path the names of the tables around it
function tpa_submit::toml(Hash $data, Array[String] $path = []) >> String {
  $names = $data.keys.sort
  $tables = $names.filter |$name| { $data[$name] =~ Variant[Hash, Array[Hash, 1]] }
  $values = ($names - $tables).map |$name| { "${name} = ${tpa_submit::toml_value($data[$name])}\n" }
  $parts = $tables.map |$name| {
    $inner = $path + [$name]
    $title = $inner.join('.')
    $data[$name] ? {
      Hash    => "\n[${title}]\n${tpa_submit::toml($data[$name], $inner)}",
      default => $data[$name].map |$each| { "\n[[${title}]]\n${tpa_submit::toml($each, $inner)}" }.join(''),
    }
  }
  ($values + $parts).join('')
}
