# What watches: the probes that tell whether mail arrives, and files for node_exporter and Prometheus.
#
# @example One route
#   class { 'tpa_submit::monitoring':
#     probes         => {
#       'submission' => {
#         'server'        => 'smtps://submission.example.org:465',
#         'login'         => 'probe',
#         'password-file' => '/etc/tpa-submit/probe-password',
#         'from'          => 'probe@example.org',
#       },
#       'route'      => [{
#         'name'   => 'example-net',
#         'to'     => 'probe@example.net',
#         'arrive' => 'maildir:/home/probe/Maildir',
#       }],
#     },
#     password_files => { 'probe-password' => Sensitive('...') },
#   }
#
# @param probes the content of tpa-submit-probes(5)
# @param password_files secrets that `probes` names, by their name in config_dir
# @param timer whether the probes run every five minutes
# @param manage_service whether the timer's unit is enabled and started
# @param textfile_dir where node_exporter looks for files, to let the services write there
# @param rules where Prometheus' alerts are put, on the host that has Prometheus
# @param config_dir where probes.toml is
# @param owner whose files in it are
# @param group who may read the secrets
class tpa_submit::monitoring (
  Hash[String, Variant[Tpa_submit::Value, Hash[String, Tpa_submit::Value], Array[Hash[String, Tpa_submit::Value]]]] $probes = {},
  Hash[String[1], Sensitive[String[1]]] $password_files = {},
  Boolean                   $timer          = $probes != {},
  Boolean                   $manage_service = true,
  Optional[Pattern[/\A\//]] $textfile_dir   = undef,
  Optional[Pattern[/\A\//]] $rules          = undef,
  Pattern[/\A\//]           $config_dir     = '/etc/tpa-submit',
  String[1]                 $owner          = 'root',
  String[1]                 $group          = 'tpa-submit',
) {
  $password_files.each |$name, $secret| {
    file { "${config_dir}/${name}":
      ensure  => file,
      owner   => $owner,
      group   => $group,
      mode    => '0640',
      content => Sensitive("${secret.unwrap}\n"),
    }
  }

  if $probes != {} {
    file { "${config_dir}/probes.toml":
      ensure  => file,
      owner   => $owner,
      group   => $group,
      mode    => '0640',
      content => "# Puppet's: changes here are undone. See tpa-submit-probes(5).\n${tpa_submit::toml($probes)}",
    }
  }

  if $manage_service {
    $state = $timer ? {
      true    => 'running',
      default => 'stopped',
    }
    service { 'tpa-submit-probe.timer':
      ensure => $state,
      enable => $timer,
    }
  }

  if $textfile_dir {
    exec { 'tpa-submit: write for node_exporter':
      command => "setfacl -m u:tpa-submit:rwx ${textfile_dir}",
      unless  => "getfacl -c ${textfile_dir} | grep -q '^user:tpa-submit:rwx'",
      path    => ['/usr/sbin', '/usr/bin', '/sbin', '/bin'],
    }
  }

  if $rules {
    file { $rules:
      ensure => file,
      source => 'file:///usr/share/doc/tpa-submit/examples/prometheus/tpa-submit.rules.yml',
      owner  => $owner,
      mode   => '0644',
    }
  }
}
