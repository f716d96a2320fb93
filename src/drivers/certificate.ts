import { X509Certificate } from 'node:crypto';
import { access, readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { writeFileAtomic } from '../core/atomic-file.ts';
import { AgentError } from '../core/errors.ts';
import type { Runner } from '../core/runner.ts';
import { CERTIFICATE_FILES, KEY_FILE } from '../core/tls-files.ts';

/** What a certificate is made of. */
export interface CertificateOptions {
  readonly etc_dir: string;
  /** Common name, and the first of the alternative names. */
  readonly node_name: string;
  /** Encrypts the key; '' leaves it plain. */
  readonly passphrase: string;
  readonly runner: Runner;
  /** The node's addresses; for tests. */
  readonly addresses?: readonly string[];
}

/** RSA, which every client of these years bears; 3072 bits last for the certificate's ten years. */
const KEY_BITS = 3072;
const VALID_DAYS = 3650;
const OPENSSL_TIMEOUT_MS = 60_000;
const NODE_NAME = /^[A-Za-z0-9]([A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?$/;

/** Addresses of this node's interfaces that others may call it by. */
function ownAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((interfaces = []) => interfaces);
  return all.filter(({ internal }) => !internal).map(({ address }) => address);
}

/** The names and addresses by which clients may call the node, itself among them; link-local addresses have a zone, which no client checks. */
function namesOf({
  node_name,
  addresses = ownAddresses(),
}: Pick<CertificateOptions, 'node_name' | 'addresses'>): string[] {
  const short = isIP(node_name) ? '' : node_name.split('.', 1).join();
  const hosts = [node_name, hostname(), short, 'localhost'];
  const global = addresses.filter((address) => isIP(address) !== 0 && !/^fe80:/i.test(address));
  return [...new Set([...hosts.filter((name) => NODE_NAME.test(name)), ...global, '127.0.0.1', '::1'])];
}

const alternativeName = (name: string) => (isIP(name) ? `IP:${name}` : `DNS:${name}`);

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

/**
 * Makes the private key and a self-signed certificate where there is no certificate; a key that is there already is used.
 * Errors: internal (a certificate without a key, a name that cannot stand in a certificate), program_*.
 *
 * @returns whether a certificate was made
 */
export async function ensureCertificate(options: CertificateOptions): Promise<boolean> {
  const { etc_dir } = options;
  const has_key = await exists(join(etc_dir, KEY_FILE));
  const file = await certificateFile(etc_dir);
  if (file !== undefined && has_key) return false;
  if (file !== undefined) {
    throw new AgentError(
      'internal',
      `There is a certificate, ${file}, without its key ${KEY_FILE}: put the key there, or remove the certificate.`,
    );
  }
  await makeCertificate(options, CERTIFICATE_FILES[0]);
  return true;
}

/** The certificate that is used: the first that exists. */
async function certificateFile(etc_dir: string): Promise<string | undefined> {
  for (const file of CERTIFICATE_FILES) if (await exists(join(etc_dir, file))) return file;
  return undefined;
}

/** Makes a self-signed certificate in all of the node's names, over the key that is there or a new one: one file is replaced, at one stroke. */
async function makeCertificate(options: CertificateOptions, file: string): Promise<void> {
  const { etc_dir, node_name, passphrase, runner } = options;
  const key_path = join(etc_dir, KEY_FILE);
  const has_key = await exists(key_path);
  if (!NODE_NAME.test(node_name)) {
    throw new AgentError(
      'internal',
      'The node name cannot stand in a certificate: set node_name to a host name.',
    );
  }
  const openssl = (label: string, args: readonly string[], pass_option: readonly string[]) =>
    runner.check({
      label,
      program: 'openssl',
      args: passphrase === '' ? args : [...args, ...pass_option],
      timeout_ms: OPENSSL_TIMEOUT_MS,
      ...(passphrase === '' ? {} : { input: `${passphrase}\n` }),
    });
  if (!has_key) {
    const bits = ['-algorithm', 'RSA', '-pkeyopt', `rsa_keygen_bits:${KEY_BITS}`];
    const { stdout } = await openssl(
      'openssl genpkey',
      ['genpkey', ...bits],
      ['-aes-256-cbc', '-pass', 'stdin'],
    );
    await writeFileAtomic(key_path, stdout);
  }
  const names = namesOf(options).map(alternativeName).join(',');
  const subject = ['-subj', `/CN=${node_name.slice(0, 64)}`, '-addext', `subjectAltName=${names}`];
  const { stdout } = await openssl(
    'openssl req',
    ['req', '-x509', '-new', '-sha256', '-days', String(VALID_DAYS), '-key', key_path, ...subject],
    ['-passin', 'stdin'],
  );
  await writeFileAtomic(join(etc_dir, file), stdout, { mode: 0o644 });
}

/**
 * Makes the self-signed certificate anew, over the same key; the one before is kept beside it (`.old`). One that somebody else has issued
 * is left alone, unless `force`. Returns the certificate's path. Errors: those of {@link ensureCertificate}; not_allowed.
 */
export async function renewCertificate(
  options: CertificateOptions & { readonly force: boolean },
): Promise<string> {
  const { etc_dir, force } = options;
  const file = (await certificateFile(etc_dir)) ?? CERTIFICATE_FILES[0];
  const path = join(etc_dir, file);
  if (await exists(path)) {
    const before = await readFile(path);
    const issuer = force ? undefined : otherIssuer(before);
    if (issuer !== undefined) {
      throw new AgentError(
        'not_allowed',
        `${path} was issued by ${issuer}: renew it there. To have a self-signed one in its place: dtc-xen-agent cert renew force`,
      );
    }
    await writeFileAtomic(`${path}.old`, before, { mode: 0o644 });
  }
  await makeCertificate(options, file);
  return path;
}

/** Who issued a certificate, where that is not itself; undefined also where it cannot be read. */
function otherIssuer(text: Buffer): string | undefined {
  try {
    const { issuer, subject } = new X509Certificate(text);
    return issuer === subject ? undefined : issuer.replace(/\s+/g, ' ');
  } catch {
    return undefined;
  }
}

const WARN_DAYS = 30;
const DAY_MS = 86_400_000;

/** What an admin should know of the certificate that is used: that it ends soon, or lacks a name of the node. */
export async function certificateNotes(
  options: Pick<CertificateOptions, 'etc_dir' | 'node_name' | 'addresses'>,
): Promise<string[]> {
  const file = await certificateFile(options.etc_dir);
  if (file === undefined) return [];
  const path = join(options.etc_dir, file);
  const text = await readFile(path);
  const certificate = new X509Certificate(text);
  const issuer = otherIssuer(text);
  const renew = issuer === undefined ? 'dtc-xen-agent cert renew' : `by ${issuer}`;
  const notes: string[] = [];
  if (Date.parse(certificate.validTo) < Date.now() + WARN_DAYS * DAY_MS) {
    notes.push(`The certificate ${path} ends on ${certificate.validTo}; have it renewed: ${renew}`);
  }
  const names = issuer === undefined ? namesOf(options) : [options.node_name];
  const missing = names.filter(
    (name) => (isIP(name) ? certificate.checkIP(name) : certificate.checkHost(name)) === undefined,
  );
  if (missing.length > 0) {
    notes.push(
      `The certificate ${path} is not for ${missing.join(', ')}: clients that check it do not call the node so. Have it made anew: ${renew}`,
    );
  }
  return notes;
}
