// What must be built before some clients can be run: once per test file, in a temporary folder.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const NUSOAP = '/usr/share/php/nusoap';
const BUILD_LIMIT_MS = 120_000;

/** A folder that goes away with `remove`. */
export function temporaryFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'dtc-xen-interop-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/**
 * Copies Debian's NuSOAP with the constructors of its classes named as PHP 8 wants them: in PHP 4's way they had the name of
 * their class, and are never called now.
 *
 * @returns how many classes had one
 */
export function buildNusoap(folder: string): number {
  let owner = '';
  let constructors = 0;
  const source = readFileSync(join(NUSOAP, 'nusoap.php'), 'latin1');
  const mended = source.replace(
    /^\s*class (\w+)|\bfunction (\w+)\(|parent::nusoap_base\(/gm,
    (found, name?: string, method?: string) => {
      if (name !== undefined) owner = name;
      else if (method === undefined) return 'parent::__construct(';
      else if (method === owner) {
        constructors += 1;
        return 'function __construct(';
      }
      return found;
    },
  );
  writeFileSync(join(folder, 'nusoap.php'), mended, 'latin1');
  copyFileSync(join(NUSOAP, 'class.wsdlcache.php'), join(folder, 'class.wsdlcache.php'));
  return constructors;
}

/** Generates and compiles gSOAP's client from a WSDL. @returns its path */
export function buildGsoap(folder: string, wsdl: string): string {
  const file = join(folder, 'dtc-xen.wsdl');
  writeFileSync(file, wsdl);
  execFileSync(join(import.meta.dirname, 'clients/gsoap/build'), [file, folder], {
    timeout: BUILD_LIMIT_MS,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  return join(folder, 'client');
}

/** Compiles the client of .NET's formatter. @returns its path */
export function buildDotnet(folder: string): string {
  const [source, client] = [
    join(import.meta.dirname, 'clients/dotnet/Client.cs'),
    join(folder, 'client.exe'),
  ];
  const args = ['-r:System.Runtime.Serialization.Formatters.Soap', `-out:${client}`, source];
  execFileSync('mcs', args, { timeout: BUILD_LIMIT_MS, stdio: ['ignore', 'ignore', 'pipe'] });
  return client;
}
