# The relay on its sockets, and what brings logins from the directory.
#
# @api private
class tpa_submit::service {
  if $tpa_submit::manage_service {
    service { ['tpa-submit-submission.socket', 'tpa-submit-submissions.socket']:
      ensure => running,
      enable => true,
    }
    -> service { 'tpa-submit':
      ensure  => running,
      enable  => true,
      # Most settings need no restart. `systemctl status tpa-submit` and the log name those that do.
      restart => 'systemctl reload-or-restart tpa-submit',
    }

    $syncs = $tpa_submit::ldap ? {
      undef   => 'stopped',
      default => 'running',
    }
    service { 'tpa-submit-sync':
      ensure => $syncs,
      enable => $syncs == 'running',
      before => Service['tpa-submit'],
    }

    $pages = $tpa_submit::portal ? {
      undef   => 'stopped',
      default => 'running',
    }
    service { 'tpa-submit-portal':
      ensure  => $pages,
      enable  => $pages == 'running',
      require => Service['tpa-submit'],
    }

    # Not the sockets: they stay open over a restart. A new package restarts what runs by itself.
    File["${tpa_submit::config_dir}/tpa-submit.toml"] ~> Service['tpa-submit', 'tpa-submit-sync', 'tpa-submit-portal']
  }
}
