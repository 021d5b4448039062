# tpa-submit.toml, and the files with the passwords of the directory and the database.
#
# @api private
class tpa_submit::config {
  $directory = $tpa_submit::config_dir
  $password_file = "${directory}/ldap-password"

  if $tpa_submit::ldap and $tpa_submit::ldap['bind-password'] {
    file { $password_file:
      ensure  => file,
      owner   => $tpa_submit::owner,
      group   => $tpa_submit::group,
      mode    => '0640',
      content => Sensitive("${tpa_submit::ldap['bind-password'].unwrap}\n"),
      before  => File["${directory}/tpa-submit.toml"],
    }
    $bind = { 'bind-password-file' => $password_file }
  } else {
    $bind = {}
  }

  if $tpa_submit::store_password {
    $store_file = "${directory}/store-password"
    file { $store_file:
      ensure  => file,
      owner   => $tpa_submit::owner,
      group   => $tpa_submit::group,
      mode    => '0640',
      content => Sensitive("${tpa_submit::store_password.unwrap}\n"),
      before  => File["${directory}/tpa-submit.toml"],
    }
    $given = $tpa_submit::settings['spool'] ? {
      undef   => {},
      default => $tpa_submit::settings['spool'],
    }
    $spool = { 'spool' => $given + { 'store-password-file' => $store_file } }
  } else {
    $spool = {}
  }

  $ldap = $tpa_submit::ldap ? {
    undef   => {},
    default => { 'ldap' => $tpa_submit::ldap.filter |$name, $_value| { $name != 'bind-password' } + $bind },
  }
  $lists = {
    'domains'  => $tpa_submit::domains,
    'milter'   => $tpa_submit::milters,
    'provider' => $tpa_submit::providers,
    'route'    => $tpa_submit::routes,
  }
  $tables = $lists.filter |$_name, $each| { $each != [] }
  $names = { 'hostname' => $tpa_submit::hostname, 'domain' => $tpa_submit::domain }

  # 78 is a mistake in the file. `tpa-submit check` would also refuse it for what is not there yet: a certificate, a login.
  $validate = $tpa_submit::check_config ? {
    true    => 'tpa-submit queue list --config % >/dev/null || test $? != 78',
    default => undef,
  }
  $settings = tpa_submit::toml($tpa_submit::settings + $spool + $ldap + $tables + $names)

  file { "${directory}/tpa-submit.toml":
    ensure       => file,
    owner        => $tpa_submit::owner,
    group        => $tpa_submit::group,
    mode         => '0644',
    content      => "# Puppet's: changes here are undone. See tpa-submit.toml(5).\n${settings}",
    validate_cmd => $validate,
  }
}
