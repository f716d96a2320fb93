import { access } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { writeFileAtomic } from '../core/atomic-file.ts';
import { AgentError } from '../core/errors.ts';
import type { Runner } from '../core/runner.ts';
import { CERTIFICATE_FILES, KEY_FILE } from '../core/tls-files.ts';

/** What a certificate is made of. */
export interface CertificateOptions {
  readonly etc_dir: string;
  /** Common name and alternative name. */
  readonly node_name: string;
  /** Encrypts the key; '' leaves it plain. */
  readonly passphrase: string;
  readonly runner: Runner;
}

/** RSA, which every client of these years bears; 3072 bits last for the certificate's ten years. */
const KEY_BITS = 3072;
const VALID_DAYS = 3650;
const OPENSSL_TIMEOUT_MS = 60_000;
const NODE_NAME = /^[A-Za-z0-9]([A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?$/;

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
  const { etc_dir, node_name, passphrase, runner } = options;
  const key_path = join(etc_dir, KEY_FILE);
  const has_key = await exists(key_path);
  for (const file of CERTIFICATE_FILES) {
    if (!(await exists(join(etc_dir, file)))) continue;
    if (has_key) return false;
    throw new AgentError(
      'internal',
      `There is a certificate, ${file}, without its key ${KEY_FILE}: put the key there, or remove the certificate.`,
    );
  }
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
  const named = isIP(node_name) ? `IP:${node_name}` : `DNS:${node_name}`;
  const subject = ['-subj', `/CN=${node_name.slice(0, 64)}`, '-addext', `subjectAltName=${named}`];
  const { stdout } = await openssl(
    'openssl req',
    ['req', '-x509', '-new', '-sha256', '-days', String(VALID_DAYS), '-key', key_path, ...subject],
    ['-passin', 'stdin'],
  );
  const [certificate_file] = CERTIFICATE_FILES;
  await writeFileAtomic(join(etc_dir, certificate_file), stdout, { mode: 0o644 });
  return true;
}
