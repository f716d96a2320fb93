# What a fake's program is (fake-node.ts): asks answers.mjs; where that does nothing, a process of its own does (run.mjs).
# $root: the fake node; $server: the socket; @run: node run.mjs; @fake: the program's words; $real: what a fault stands before.
use strict;
use warnings;
our ($root, $server, @run, @fake, $real);
my ($AF_UNIX, $SOCK_STREAM, $MSG_NOSIGNAL) = (1, 1, 0x4000);

sub answer {
    socket(my $socket, $AF_UNIX, $SOCK_STREAM, 0) or return;
    connect($socket, pack('S a*', $AF_UNIX, "$server\0")) or return;
    send($socket, join('', map { "$_\0" } $root, @fake, @ARGV), $MSG_NOSIGNAL) or return;
    shutdown($socket, 1);
    local $/;
    my ($exit, $bytes, $said) = (<$socket> // '') =~ /\A(\d+) (\d+)\n(.*)\z/s or return;
    print {*STDOUT} substr($said, 0, $bytes);
    print {*STDERR} substr($said, $bytes);
    return $exit;
}

sub run {
    local $ENV{FAKE_XEN_DIR} = $root;
    if (!$real) { exec { $run[0] } @run, @fake, @ARGV or exit 70 }
    my $status = system { $run[0] } @run, @fake, @ARGV;
    kill($status & 127, $$) if $status & 127;
    return $status >> 8;
}

my $exit = answer() // run();
if ($real && $exit == 99) { exec { $real } $real, @ARGV or exit 127 }
exit $exit;
