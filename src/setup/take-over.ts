import { createPrivateKey } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, copyFile, readFile, rename, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { loadConfig, parseConfig } from '../config/load.ts';
import { replaceFile, writeFileAtomic } from '../core/atomic-file.ts';
import { CERTIFICATE_FILES, KEY_FILE } from '../core/tls-files.ts';
import { carryOver } from './dtc-xen.ts';
import { setKeys } from './edit-config.ts';
import { type Probes, tryValues } from './try-values.ts';

/** What taking DTC-Xen's configuration over needs. */
export interface TakeOver {
  /** dtc-xen.conf; DTC-Xen's other files lie beside it. */
  readonly config_file: string;
  /** The text of a configuration in which nothing is set. */
  readonly sample: string;
  /** Reads certificate and key as the server does; throws where it could not use them. */
  readonly readTls: (etc_dir: string, passphrase: string) => Promise<unknown>;
  readonly probes: Probes;
}

/** What DTC-Xen's files are called when they have been taken over. */
const DONE = '.dtc-xen';
/** The same key as privkey.pem, without its passphrase. */
const OPEN_KEY_FILE = 'dtc-xen.cert.key';

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function setAside(path: string): Promise<void> {
  if (existsSync(path)) await rename(path, `${path}${DONE}`);
}

function opens(key: string | undefined, passphrase: string): boolean {
  if (key === undefined) return false;
  try {
    createPrivateKey({ key, passphrase });
    return true;
  } catch {
    return false;
  }
}

async function takeConfigOver({ config_file, sample, probes }: TakeOver): Promise<readonly string[]> {
  const beside = (name: string) => join(dirname(config_file), name);
  const [config, soap, scripts] = await Promise.all([
    textOf(config_file),
    textOf(beside('soap.conf')),
    textOf(beside('dtc_create_vps.conf.sh')),
  ]);
  const carried = carryOver({ config, soap, scripts }, sample, existsSync);
  const tried = await tryValues(parseConfig(carried.text, config_file), probes);
  const text = tried.values.size === 0 ? carried.text : setKeys(carried.text, tried.values);
  if (text !== config) {
    if (config !== undefined && !existsSync(`${config_file}${DONE}`))
      await copyFile(config_file, `${config_file}${DONE}`);
    await replaceFile(config_file, Buffer.from(text));
  }
  await setAside(beside('soap.conf'));
  await setAside(beside('dtc_create_vps.conf.sh'));
  return [...carried.notes, ...tried.notes];
}

async function takeKeyOver(etc_dir: string, passphrase: string): Promise<readonly string[]> {
  const [key_path, open_path] = [join(etc_dir, KEY_FILE), join(etc_dir, OPEN_KEY_FILE)];
  const [key, open_key] = await Promise.all([textOf(key_path), textOf(open_path)]);
  if (open_key === undefined || opens(key, passphrase) || !opens(open_key, '')) return [];
  await setAside(key_path);
  await writeFileAtomic(key_path, open_key);
  return [
    `${KEY_FILE} ${key === undefined ? 'was not there' : 'could not be opened'}: ${OPEN_KEY_FILE} is used`,
  ];
}

async function takeCertificateOver(
  etc_dir: string,
  passphrase: string,
  { readTls }: TakeOver,
): Promise<readonly string[]> {
  const paths = CERTIFICATE_FILES.map((file) => join(etc_dir, file)).filter((path) => existsSync(path));
  if (paths.length === 0) return [];
  try {
    await readTls(etc_dir, passphrase);
    return [];
  } catch (error) {
    for (const path of [...paths, join(etc_dir, KEY_FILE)]) await setAside(path);
    return [
      `${(error as Error).message} They are kept as *${DONE}; the first start makes a new self-signed certificate: give it to the clients that check`,
    ];
  }
}

/** DTC-Xen's installation made all of its files but one readable by everybody. */
async function closeSecrets(config_file: string): Promise<readonly string[]> {
  const secret = [basename(config_file), 'htpasswd', KEY_FILE, OPEN_KEY_FILE];
  const opened: string[] = [];
  for (const name of secret) {
    const path = join(dirname(config_file), name);
    if (!existsSync(path) || ((await stat(path)).mode & 0o077) === 0) continue;
    await chmod(path, 0o600);
    opened.push(name);
  }
  if (opened.length === 0) return [];
  return [
    `${opened.join(', ')} could be read by everybody: they are root's alone now. Who had a shell on this node may have the passwords and the key.`,
  ];
}

/**
 * Takes over what DTC-Xen left beside the configuration file: its settings, key and certificate; users stay as they are.
 * What was taken over is kept under the ending `.dtc-xen`. A second time changes nothing more.
 *
 * @returns a sentence for each thing that an admin should know of
 * @throws ConfigError, Error where a file cannot be read or written
 */
export async function takeDtcXenOver(what: TakeOver): Promise<readonly string[]> {
  const etc_dir = dirname(what.config_file);
  const closed = await closeSecrets(what.config_file);
  const notes = await takeConfigOver(what);
  const { cert_passphrase } = loadConfig(what.config_file);
  const key_notes = await takeKeyOver(etc_dir, cert_passphrase);
  return [...closed, ...notes, ...key_notes, ...(await takeCertificateOver(etc_dir, cert_passphrase, what))];
}
