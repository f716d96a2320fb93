#!/usr/bin/perl
# Perl's SOAP::Lite: soaplite.pl URL CA-FILE; SOAP_USER and SOAP_PASSWORD in the environment. Standard input has a call a line, separated
# by tabs: OPERATION VALUE ...; the values are sent by position, under the names that SOAP::Lite makes up for them. A JSON line goes out
# for each.
use strict;
use warnings;
use JSON::PP;
use Scalar::Util 'reftype';
use SOAP::Lite;

my ($url, $ca) = @ARGV;
$ENV{PERL_LWP_SSL_CA_FILE} = $ca;
binmode STDIN, ':encoding(UTF-8)';
my $json = JSON::PP->new->utf8->canonical;
local $| = 1;

my $soap = SOAP::Lite->uri('urn:dtc-xen')->proxy($url);
$soap->transport->http_request->headers->authorization_basic($ENV{SOAP_USER}, $ENV{SOAP_PASSWORD});

# What a Perl program holds: a structure is a hash, everything else that is no list is text.
sub tagged {
    my ($value) = @_;
    my $kind = reftype($value) // '';
    return [map { tagged($_) } @$value] if $kind eq 'ARRAY';
    return {dict => {map { $_ => tagged($value->{$_}) } keys %$value}} if $kind eq 'HASH';
    return defined $value ? "$value" : undef;
}

while (defined(my $line = <STDIN>)) {
    chomp $line;
    my ($operation, @values) = split /\t/, $line;
    # What is not ASCII would go out as base64.
    my @sent = map { /[^\x20-\x7e]/ ? SOAP::Data->type(string => $_) : $_ } @values;
    my $answer = eval { $soap->call($operation, @sent) };
    my %told = (operation => $operation);
    if (!ref $answer) { $told{error} = (split / at /, $@ || 'no answer')[0] }
    elsif ($answer->fault) {
        my $detail = $answer->faultdetail;
        my $code = ref $detail ? $detail->{fault}{code} : undef;
        $told{fault} = {code => $answer->faultcode =~ s/^.*://r, message => $answer->faultstring, detail_code => $code};
    }
    else { $told{result} = tagged($answer->result) }
    print $json->encode(\%told), "\n";
}
