# The certificate goes where the relay finds it, with its key, in one step. A running relay takes it at once.
#
# @api private
class tpa_submit::certificate {
  if $tpa_submit::certificate {
    $chain = $tpa_submit::certificate['chain']
    $key = $tpa_submit::certificate['key']
    $installed = "${tpa_submit::config_dir}/tls"
    exec { 'tpa-submit: install the certificate':
      command => "/usr/lib/tpa-submit/certificates/install-certificate ${chain} ${key}",
      unless  => "cmp -s ${chain} ${installed}/fullchain.pem && cmp -s ${key} ${installed}/privkey.pem",
      path    => ['/usr/sbin', '/usr/bin', '/sbin', '/bin'],
    }
  }
}
