import { execFileSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type SecureVersion } from 'node:tls';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { certificateNotes, ensureCertificate, renewCertificate } from '../../src/drivers/certificate.ts';
import { createRunner } from '../../src/drivers/run.ts';
import { readTls } from '../../src/transport/tls.ts';
import { ENVELOPE, head, rawConnection, runner, soap, startServer } from './server-fixture.ts';

const YEAR_MS = 365 * 86_400_000;
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dtc-xen-tls-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const inFolder = (file: string) => join(folder, file);
const text = (file: string) => readFileSync(inFolder(file), 'utf8');
const make = (more: Partial<Parameters<typeof ensureCertificate>[0]> = {}) =>
  ensureCertificate({ etc_dir: folder, node_name: 'node1.example.com', passphrase: '', runner, ...more });

describe('all names and addresses of the node', () => {
  const addresses = ['192.0.2.7', '2001:db8::7', 'fe80::1'];
  const named = () => new X509Certificate(text('dtc-xen.cert'));

  test('are in its certificate', async () => {
    await make({ addresses });
    for (const name of ['node1.example.com', 'node1', 'localhost', hostname()])
      expect(named().checkHost(name), name).toBe(name);
    for (const address of ['192.0.2.7', '2001:db8::7', '127.0.0.1', '::1']) {
      expect(named().checkIP(address), address).toBe(address);
    }
    expect(named().subjectAltName).not.toMatch(/fe80/i);
    expect(await certificateNotes({ etc_dir: folder, node_name: 'node1.example.com', addresses })).toEqual(
      [],
    );
  });

  test('a new one is told by check-config, and in it after cert renew, which keeps the key and the one before', async () => {
    await make({ addresses });
    const [key, before] = [text('privkey.pem'), text('dtc-xen.cert')];
    const now = {
      etc_dir: folder,
      node_name: 'node1.example.com',
      addresses: [...addresses, '198.51.100.7'],
    };
    expect(await certificateNotes(now)).toEqual([
      expect.stringMatching(/is not for 198\.51\.100\.7: .*dtc-xen-agent cert renew$/),
    ]);
    const renewed = await renewCertificate({ ...now, passphrase: '', runner, force: false });
    expect(renewed).toBe(inFolder('dtc-xen.cert'));
    expect(await certificateNotes(now)).toEqual([]);
    expect([text('privkey.pem'), text('dtc-xen.cert.old')]).toEqual([key, before]);
    await readTls(folder, '');
  });

  test('cert renew replaces what is used, under the name that it has', async () => {
    await make({ addresses });
    renameSync(inFolder('dtc-xen.cert'), inFolder('dtc-xen.cert.cert'));
    await renewCertificate({
      etc_dir: folder,
      node_name: 'node1.example.com',
      passphrase: '',
      runner,
      force: false,
    });
    expect(readdirSync(folder).sort()).toEqual(['dtc-xen.cert.cert', 'dtc-xen.cert.cert.old', 'privkey.pem']);
  });

  test("an authority's certificate is left alone, unless that is wanted; one that ends soon is told", async () => {
    await make({ addresses });
    const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
    openssl(
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-keyout',
      'ca.key',
      '-out',
      'ca.pem',
      '-subj',
      '/CN=An Authority',
    );
    openssl(
      'req',
      '-new',
      '-key',
      'privkey.pem',
      '-subj',
      '/CN=node1.example.com',
      '-out',
      'request',
      '-addext',
      'subjectAltName=DNS:node1.example.com',
    );
    openssl(
      'x509',
      '-req',
      '-in',
      'request',
      '-CA',
      'ca.pem',
      '-CAkey',
      'ca.key',
      '-days',
      '7',
      '-copy_extensions',
      'copy',
      '-out',
      'dtc-xen.cert',
    );
    const issued = text('dtc-xen.cert');
    const options = { etc_dir: folder, node_name: 'node1.example.com', addresses, passphrase: '', runner };
    await expect(renewCertificate({ ...options, force: false })).rejects.toMatchObject({
      code: 'not_allowed',
    });
    expect(text('dtc-xen.cert')).toBe(issued);
    expect(await certificateNotes(options)).toEqual([
      expect.stringMatching(/ends on .*; have it renewed: by CN=An Authority$/),
    ]);
    await renewCertificate({ ...options, force: true });
    expect(named().issuer).toBe('CN=node1.example.com');
    expect(text('dtc-xen.cert.old')).toBe(issued);
  });
});

describe('the first start', () => {
  test('makes an RSA key for root alone, and a certificate for ten years in the name of the node', async () => {
    expect(await make()).toBe(true);
    expect(readdirSync(folder).sort()).toEqual(['dtc-xen.cert', 'privkey.pem']);
    expect(statSync(inFolder('privkey.pem')).mode & 0o7777).toBe(0o600);
    const certificate = new X509Certificate(text('dtc-xen.cert'));
    expect(certificate.subject).toBe('CN=node1.example.com');
    expect(certificate.checkHost('node1.example.com')).toBe('node1.example.com');
    expect(certificate.checkPrivateKey(createPrivateKey(text('privkey.pem')))).toBe(true);
    expect(certificate.publicKey.asymmetricKeyType).toBe('rsa');
    expect(certificate.publicKey.asymmetricKeyDetails?.modulusLength).toBe(3072);
    const { expires } = await readTls(folder, '');
    expect((expires.getTime() - Date.now()) / YEAR_MS).toBeCloseTo(10, 1);
  });

  test('the second one changes nothing', async () => {
    await make();
    const before = [text('privkey.pem'), text('dtc-xen.cert')];
    expect(await make()).toBe(false);
    expect([text('privkey.pem'), text('dtc-xen.cert')]).toEqual(before);
  });

  test('one that was cut off after the key goes on with that key', async () => {
    await make();
    const key = text('privkey.pem');
    rmSync(inFolder('dtc-xen.cert'));
    expect(await make()).toBe(true);
    expect(text('privkey.pem')).toBe(key);
    await readTls(folder, '');
  });

  test("an upgraded node's certificate is used under DTC-Xen's name", async () => {
    await make();
    renameSync(inFolder('dtc-xen.cert'), inFolder('dtc-xen.cert.cert'));
    expect(await make()).toBe(false);
    expect((await readTls(folder, '')).cert).toBe(text('dtc-xen.cert.cert'));
  });

  test('a certificate without its key is told, and left alone', async () => {
    writeFileSync(inFolder('dtc-xen.cert'), 'precious');
    await expect(make()).rejects.toThrow('without its key privkey.pem');
    expect(readdirSync(folder)).toEqual(['dtc-xen.cert']);
  });

  test('an address, or a very long name, stands in the certificate as well', async () => {
    await make({ node_name: '192.0.2.7' });
    expect(new X509Certificate(text('dtc-xen.cert')).checkIP('192.0.2.7')).toBe('192.0.2.7');
    rmSync(inFolder('dtc-xen.cert'));
    const long = `${'a'.repeat(60)}.${'b'.repeat(60)}.example.com`;
    await make({ node_name: long });
    expect(new X509Certificate(text('dtc-xen.cert')).checkHost(long)).toBe(long);
  });

  test.each(['', 'a/CN=b', 'a,DNS:evil', '-a', 'a b', 'a\nb'])(
    'a node name %j is refused',
    async (node_name) => {
      await expect(make({ node_name })).rejects.toThrow('set node_name to a host name');
      expect(readdirSync(folder)).toEqual([]);
    },
  );

  test('a passphrase protects the key, and no program has it as an argument or in its environment', async () => {
    const seen = inFolder('seen');
    const wrapper = '#!/bin/sh\n{ echo "$@"; env; } >> "$SEEN"\nexec /usr/bin/openssl "$@"\n';
    writeFileSync(inFolder('openssl'), wrapper.replace('"$SEEN"', seen));
    chmodSync(inFolder('openssl'), 0o755);
    await make({ passphrase: 'corr3ct "h$rse', runner: createRunner({ path: `${folder}:/usr/bin:/bin` }) });
    expect(text('seen')).toMatch(/genpkey [\s\S]*req -x509 /);
    expect(text('seen')).not.toContain('corr3ct');
    expect(text('privkey.pem')).toContain('ENCRYPTED PRIVATE KEY');
    expect((await readTls(folder, 'corr3ct "h$rse')).passphrase).toBe('corr3ct "h$rse');
    await expect(readTls(folder, 'wrong')).rejects.toThrow('cert_passphrase must fit the key');
    await expect(readTls(folder, '')).rejects.toThrow('cannot be used');
  });
});

describe('what cannot be used is told by its file', () => {
  test.each([
    ['no certificate', () => rmSync(inFolder('dtc-xen.cert')), 'There is no certificate dtc-xen.cert or'],
    ['no key', () => rmSync(inFolder('privkey.pem')), 'privkey.pem cannot be read'],
    [
      'half a certificate',
      () => writeFileSync(inFolder('dtc-xen.cert'), text('dtc-xen.cert').slice(0, 300)),
      'dtc-xen.cert and the key',
    ],
    ['an empty key', () => writeFileSync(inFolder('privkey.pem'), ''), 'cannot be used'],
  ])('%s', async (_what, spoil, message) => {
    await make();
    spoil();
    await expect(readTls(folder, '')).rejects.toThrow(message);
  });

  test("another certificate's key", async () => {
    await make();
    renameSync(inFolder('dtc-xen.cert'), inFolder('other'));
    rmSync(inFolder('privkey.pem'));
    await make();
    renameSync(inFolder('other'), inFolder('dtc-xen.cert'));
    await expect(readTls(folder, '')).rejects.toThrow('they must belong together');
  });
});

describe('the running server', () => {
  let server: Awaited<ReturnType<typeof startServer>>;
  beforeEach(async () => {
    server = await startServer();
  });
  afterEach(() => server.stop());

  function shake(version: SecureVersion): Promise<{ protocol: string | null; fingerprint: string }> {
    return new Promise((resolve, reject) => {
      const options = { minVersion: version, maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0' };
      const socket = connect(
        { port: server.port, host: '127.0.0.1', rejectUnauthorized: false, ...options },
        () => {
          resolve({
            protocol: socket.getProtocol(),
            fingerprint: socket.getPeerCertificate().fingerprint256,
          });
          socket.destroy();
        },
      );
      socket.on('error', reject);
    });
  }

  test('speaks TLS 1.2 and 1.3, and nothing older', async () => {
    expect((await shake('TLSv1.2')).protocol).toBe('TLSv1.2');
    expect((await shake('TLSv1.3')).protocol).toBe('TLSv1.3');
    for (const old of ['TLSv1.1', 'TLSv1'] as const) await expect(shake(old)).rejects.toThrow();
  });

  test('takes a new certificate into use while a connection and a call on it go on', async () => {
    const before = (await shake('TLSv1.3')).fingerprint;
    const connection = await rawConnection(server.port);
    const request = `${head([`Content-Length: ${ENVELOPE.length}`])}${ENVELOPE}`;
    connection.socket.write(request);
    await connection.until(/dtc-xen 127/);
    await make({ node_name: 'renewed.example.com' });
    for (const file of ['privkey.pem', 'dtc-xen.cert'])
      copyFileSync(inFolder(file), join(server.folder, file));
    expect(await server.server.reload()).toBe(true);
    connection.socket.write(request);
    await connection.until(/dtc-xen 127[\s\S]*dtc-xen 127/);
    expect(connection.socket.getPeerCertificate().fingerprint256).toBe(before);
    connection.socket.destroy();
    const after = await shake('TLSv1.3');
    expect(after.fingerprint).toBe(new X509Certificate(text('dtc-xen.cert')).fingerprint256);
    await expect(shake('TLSv1.1')).rejects.toThrow();
  });

  test('keeps the old certificate where the new one is broken, and says so', async () => {
    const before = (await shake('TLSv1.3')).fingerprint;
    writeFileSync(join(server.folder, 'dtc-xen.cert'), 'not a certificate');
    expect(await server.server.reload()).toBe(false);
    expect(server.messages()).toContain('the new certificate cannot be used; the old one stays in use');
    expect((await shake('TLSv1.3')).fingerprint).toBe(before);
    expect((await soap(server.port)).status).toBe(200);
  });
});
