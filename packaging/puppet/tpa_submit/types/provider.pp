# One [[provider]] of tpa-submit.toml(5): what a large receiver takes at a time.
type Tpa_submit::Provider = Struct[{
  'name'                           => String[1],
  Optional['hosts']                => Array[String[1]],
  Optional['concurrency']          => Integer[0],
  Optional['messages-per-session'] => Integer[0],
  Optional['pause']                => String,
}]
