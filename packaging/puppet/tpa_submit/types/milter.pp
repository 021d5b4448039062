# One [[milter]] of tpa-submit.toml(5): a filter that sees each message before its 250.
type Tpa_submit::Milter = Struct[{
  'name'                => String[1],
  'address'             => Pattern[/\A(unix:\/|inet:)/],
  Optional['when-away'] => Enum['tempfail', 'accept', 'hold', 'reject'],
  Optional['timeout']   => String[1],
  Optional['deadline']  => String[1],
  Optional['privacy']   => Enum['full', 'shortened'],
}]
