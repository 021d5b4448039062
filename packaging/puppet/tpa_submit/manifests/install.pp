# The package.
#
# @api private
class tpa_submit::install {
  if $tpa_submit::package_ensure {
    if $tpa_submit::package_source {
      $installed = "dpkg-query -W -f '\${Version}' tpa-submit 2>/dev/null"
      # A file is installed with apt, which brings what it depends on; dpkg, Puppet's provider for files, does not.
      exec { 'tpa-submit: install the package':
        command     => "apt-get install -q -y --no-install-recommends ${tpa_submit::package_source}",
        environment => ['DEBIAN_FRONTEND=noninteractive'],
        path        => ['/usr/sbin', '/usr/bin', '/sbin', '/bin'],
        unless      => "test \"$(${installed})\" = \"$(dpkg-deb -f ${tpa_submit::package_source} Version)\"",
      }
    } else {
      package { 'tpa-submit':
        ensure => $tpa_submit::package_ensure,
      }
    }
  }
}
