# Runs swaks on many command lines, and compiles it once: a third of the time that a process for each would take.
#
#     perl many-swaks.pl SWAKS
#
# Standard input: a JSON list of lists of words. Standard output: a JSON list of what each printed, one character an octet.
use strict;
use warnings;
use JSON::PP;

my ($program) = @ARGV;
my $text = do { local $/; open my $file, '<', $program or die "$program: $!"; <$file> };
my $lines = decode_json(do { local $/; <STDIN> });

# What it would load on its own, in each process anew.
eval { require $_ } for qw(IO/Socket.pm MIME/Base64.pm POSIX.pm Sys/Hostname.pm Time/Local.pm);
$text =~ s/^__END__$//m;
# By name: its subroutines see the variables of the first call of the one that they stand in.
eval "no strict; no warnings; sub swaks { $text\n} 1" or die $@;

my @printed = map {
    my $words = $_;
    my $child = open my $pipe, '-|';
    die "fork: $!" if !defined $child;
    if ($child == 0) {
        ($0, @ARGV) = ($program, @$words);
        utf8::encode($_) for @ARGV;
        swaks();
        exit;
    }
    local $/;
    my $said = <$pipe> // '';
    close $pipe or die "swaks @$words: status " . ($? >> 8);
    $said;
} @$lines;

print JSON::PP->new->latin1->encode(\@printed);
