import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import { CERTIFICATE_FILES, KEY_FILE } from '../core/tls-files.ts';

/** A certificate and key that fit each other, as node:tls takes them. */
export interface TlsMaterial {
  readonly cert: string;
  /** The certificate itself: without a `ca` Node.js reads the whole of the world's, for clients that have none. */
  readonly ca: string;
  readonly key: string;
  readonly passphrase?: string;
  readonly minVersion: 'TLSv1.2';
  /** The certificate's last moment. */
  readonly expires: Date;
}

/** A certificate or key that cannot be used; the message says which and why. */
class TlsError extends Error {
  constructor(message: string, cause: unknown) {
    super(message, { cause });
    this.name = 'TlsError';
  }
}

async function readCertificate(etc_dir: string): Promise<{ file: string; cert: string }> {
  let missing: unknown;
  for (const file of CERTIFICATE_FILES) {
    const path = join(etc_dir, file);
    try {
      return { file: path, cert: await readFile(path, 'utf8') };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        throw new TlsError(`The certificate ${path} cannot be read.`, error);
      }
      missing = error;
    }
  }
  throw new TlsError(`There is no certificate ${CERTIFICATE_FILES.join(' or ')} in ${etc_dir}.`, missing);
}

/**
 * Reads the certificate and its key from etc_dir and tries whether they can be used.
 *
 * @throws TlsError
 */
export async function readTls(etc_dir: string, passphrase: string): Promise<TlsMaterial> {
  const { file, cert } = await readCertificate(etc_dir);
  const key_path = join(etc_dir, KEY_FILE);
  let key: string;
  try {
    key = await readFile(key_path, 'utf8');
  } catch (error) {
    throw new TlsError(`The private key ${key_path} cannot be read.`, error);
  }
  const options = {
    cert,
    ca: cert,
    key,
    minVersion: 'TLSv1.2' as const,
    ...(passphrase === '' ? {} : { passphrase }),
  };
  try {
    const certificate = new X509Certificate(cert);
    if (!certificate.checkPrivateKey(createPrivateKey(options))) throw new Error('another key');
    createSecureContext(options);
    return { ...options, expires: new Date(certificate.validTo) };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new TlsError(
      `The certificate ${file} and the key ${key_path} cannot be used (${reason}): ` +
        'they must belong together, and cert_passphrase must fit the key.',
      error,
    );
  }
}
