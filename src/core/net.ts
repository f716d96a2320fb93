/** IPv4 addresses as panels send them: strict dotted decimal, checked before any file or program sees them. */
import { isIPv4 } from 'node:net';
import { AgentError } from './errors.ts';
import type { Nic } from './ports.ts';

const MAX_NICS = 32;

/** An IPv4 address as an unsigned 32-bit number. */
function ipv4ToNumber(ip: string): number {
  return ip.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0);
}

/** The dotted form of {@link ipv4ToNumber}. */
function numberToIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
}

/** Whether the text is an address that a host may have: no 0.x, loopback, multicast or broadcast. */
function isHostAddress(text: string): boolean {
  if (!isIPv4(text)) return false;
  const first = Number(text.split('.')[0]);
  return first !== 0 && first !== 127 && first < 224;
}

/** The number of leading ones of a netmask, or undefined where it is none (ones, then zeroes). */
export function netmaskPrefix(text: string): number | undefined {
  if (!isIPv4(text)) return undefined;
  const inverse = ~ipv4ToNumber(text) >>> 0;
  return (inverse & (inverse + 1)) === 0 ? 32 - Math.log2(inverse + 1) : undefined;
}

const invalid = (what: string) => new AgentError('invalid_value', what);

/** What stands in for parts that a panel leaves out (configuration keys NETMASK, BROADCAST). */
export interface NetDefaults {
  readonly NETMASK: string;
  readonly BROADCAST: string;
}

/** Where a network has only two addresses or one, none is left for broadcasts (RFC 3021): what stands for none in a {@link Nic}. */
const NO_BROADCAST = '0.0.0.0';
const SMALL_PREFIX = 31;

/** What an address is in a network besides a host's; undefined where it is a host's, or in another network. */
function roleOf(address: string, { ip, netmask, broadcast }: Nic): string | undefined {
  if (broadcast === NO_BROADCAST) return undefined;
  const mask = ipv4ToNumber(netmask);
  const network = (ipv4ToNumber(ip) & mask) >>> 0;
  if (address === numberToIpv4(network)) return 'the address';
  const last = numberToIpv4((network | ~mask) >>> 0);
  return address === broadcast || address === last ? 'the broadcast address' : undefined;
}

function parseNic(entry: string, defaults: NetDefaults): Nic {
  const parts = entry.split(',');
  const [ip = '', given_netmask = '', given_broadcast = ''] = parts;
  if (parts.length > 3 || !isHostAddress(ip)) {
    throw invalid(
      'nics: each interface must be IP,NETMASK,BROADCAST with IPv4 addresses; several are joined by +.',
    );
  }
  const netmask = given_netmask || defaults.NETMASK;
  if (netmask === '') {
    throw invalid(`nics: ${ip} has no netmask, and NETMASK is not set in the node's configuration.`);
  }
  const prefix = netmaskPrefix(netmask);
  if (prefix === undefined || prefix === 0) throw invalid(`nics: the netmask of ${ip} is not a netmask.`);
  const computed = numberToIpv4((ipv4ToNumber(ip) | ~ipv4ToNumber(netmask)) >>> 0);
  const broadcast = given_broadcast || defaults.BROADCAST || computed;
  if (!isIPv4(broadcast)) throw invalid(`nics: the broadcast address of ${ip} is not an IPv4 address.`);
  const nic = { ip, netmask, broadcast: prefix >= SMALL_PREFIX ? NO_BROADCAST : broadcast };
  const role = roleOf(ip, nic);
  if (role !== undefined) throw invalid(`nics: ${ip} is ${role} of its network (${netmask}), and no host's.`);
  return nic;
}

/**
 * Refuses a gateway that cannot be one for these addresses.
 *
 * @throws AgentError invalid_value
 */
export function requireReachable(nics: readonly Nic[], gateway: string): void {
  for (const nic of nics) {
    if (nic.ip === gateway) throw invalid(`gateway: ${gateway} is the VPS's own address.`);
    const role = roleOf(gateway, nic);
    if (role !== undefined) throw invalid(`gateway: ${gateway} is ${role} of the network of ${nic.ip}.`);
  }
}

/**
 * Reads `nics`: `IP,NETMASK,BROADCAST`, several joined by `+` or line ends (contract, "Operations").
 *
 * @throws AgentError invalid_value
 */
export function parseNics(text: string, defaults: NetDefaults): Nic[] {
  const entries = text.split(/\r?\n|\+/).filter((entry) => entry !== '');
  if (entries.length === 0) throw invalid('nics: there is no address.');
  if (entries.length > MAX_NICS) throw invalid(`nics: at most ${MAX_NICS} addresses.`);
  const nics = entries.map((entry) => parseNic(entry, defaults));
  if (new Set(nics.map((nic) => nic.ip)).size !== nics.length)
    throw invalid('nics: an address is there twice.');
  return nics;
}

/**
 * Reads space-separated addresses (`ipaddr`, `allipaddrs`) as {@link parseNics} would, without netmasks.
 *
 * @throws AgentError invalid_value
 */
export function parseAddressList(name: string, text: string): string[] {
  const addresses = text.split(/ +/).filter((entry) => entry !== '');
  if (addresses.length === 0 || addresses.length > MAX_NICS || !addresses.every(isHostAddress)) {
    throw invalid(`${name}: must be 1 to ${MAX_NICS} IPv4 addresses with spaces between.`);
  }
  if (new Set(addresses).size !== addresses.length) throw invalid(`${name}: an address is there twice.`);
  return addresses;
}

/**
 * Reads the gateway: one address; empty takes the configuration's.
 *
 * @throws AgentError invalid_value
 */
export function parseGateway(text: string, fallback: string): string {
  const gateway = text || fallback;
  if (gateway === '')
    throw invalid("gateway: there is none, and GATEWAY is not set in the node's configuration.");
  if (!isHostAddress(gateway)) throw invalid('gateway: must be one IPv4 address.');
  return gateway;
}

/**
 * Reads one or two name servers joined by a comma; empty takes the configuration's.
 *
 * @throws AgentError invalid_value
 */
export function parseDns(text: string, fallback: string): string[] {
  if (!text && !fallback)
    throw invalid("dns: there is none, and DNS is not set in the node's configuration.");
  const servers = (text || fallback).split(',');
  if (servers.length > 2 || !servers.every(isHostAddress)) {
    throw invalid('dns: must be one IPv4 address, or two joined by a comma.');
  }
  return servers;
}
