# One [[route]] of tpa-submit.toml(5): which mail goes to which relays.
type Tpa_submit::Route = Struct[{
  Optional['to']                  => Array[String[1], 1],
  Optional['from']                => Array[String[1], 1],
  Optional['login-domain']        => Array[String[1], 1],
  'relay'                         => Variant[String[1], Array[String[1], 1]],
  Optional['relay-user']          => String,
  Optional['relay-password-file'] => String,
  Optional['relay-ca']            => String,
  Optional['tls']                 => Enum['auto', 'opportunistic', 'encrypted', 'verified'],
  Optional['source-addresses']    => Array[String[1]],
}]
