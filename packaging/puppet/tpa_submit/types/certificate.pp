# Where some other class, or a CA's client, leaves the chain and the key.
type Tpa_submit::Certificate = Struct[{
  'chain' => Pattern[/\A\//],
  'key'   => Pattern[/\A\//],
}]
