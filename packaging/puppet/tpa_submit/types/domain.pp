# One [[domains]] of tpa-submit.toml(5): a domain beside the main one.
type Tpa_submit::Domain = Struct[{
  'name'                     => String[1],
  'password-file'            => Pattern[/\A\//],
  Optional['wrong-text']     => String,
  Optional['help']           => String,
  Optional['postmaster']     => String,
  Optional['sender-policy']  => Enum['own', 'domain', 'any'],
  Optional['sender-aliases'] => String,
  Optional['dkim-folder']    => String,
  Optional['ldap-base']      => String,
  Optional['ldap-filter']    => String,
}]
