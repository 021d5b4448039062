# A host that takes mail from an organisation's people: the package, its configuration, certificate and services.
#
# @example The least
#   class { 'tpa_submit':
#     hostname => 'submission.example.org',
#     domain   => 'example.org',
#   }
#
# @param hostname the relay's name, in the greeting and in the certificate
# @param domain whose mail it is
# @param settings all other settings of tpa-submit.toml(5), as there: values by table
# @param routes which mail goes to which relays, in order
# @param domains further domains, each with logins of its own
# @param milters filters that see a message before it is accepted, in order
# @param providers what large receivers take at a time, where that is not as built in
# @param ldap where logins come from; without it they are made on the host with `tpa-submit passwd --set`
# @param store_password of the user in spool.store, where several hosts share a database
# @param certificate where chain and key are; install-certificate copies them whenever they change.
#   Without it, the hook for certbot does that, or you
# @param package_ensure as for a package: `installed`, a version, `latest`; false leaves the package alone
# @param package_source a .deb on the host, where no repository has the package
# @param manage_service whether units are enabled and started
# @param check_config whether a configuration that the program does not understand is kept out
# @param config_dir where tpa-submit.toml is
# @param owner whose files in it are
# @param group who may read the secrets among them
class tpa_submit (
  String[1]                        $hostname,
  String[1]                        $domain,
  Hash[String, Variant[Tpa_submit::Value, Hash[String, Tpa_submit::Value]]] $settings = {},
  Array[Tpa_submit::Route]         $routes         = [],
  Array[Tpa_submit::Domain]        $domains        = [],
  Array[Tpa_submit::Milter]        $milters        = [],
  Array[Tpa_submit::Provider]      $providers      = [],
  Optional[Tpa_submit::Ldap]       $ldap           = undef,
  Optional[Sensitive[String[1]]]   $store_password = undef,
  Optional[Tpa_submit::Certificate] $certificate   = undef,
  Variant[String[1], Boolean[false]] $package_ensure = 'installed',
  Optional[Pattern[/\A\//]]        $package_source = undef,
  Boolean                          $manage_service = true,
  Boolean                          $check_config   = true,
  Pattern[/\A\//]                  $config_dir     = '/etc/tpa-submit',
  String[1]                        $owner          = 'root',
  String[1]                        $group          = 'tpa-submit',
) {
  contain tpa_submit::install
  contain tpa_submit::config
  contain tpa_submit::certificate
  contain tpa_submit::service

  Class['tpa_submit::install']
  -> Class['tpa_submit::config']
  -> Class['tpa_submit::certificate']
  -> Class['tpa_submit::service']
}
