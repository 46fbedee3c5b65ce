/** Certificates of a test's own: an authority, a server of the name given and a client called worker, each NAME.pem and NAME.key. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';

/** Why there can be none; false: there can. */
export const noCertificates: string | false = spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is needed';

/** Returns the path of a file by its name. They go with the test. */
export function certificates(t: Pick<Test, 'teardown'>, serverName: string): (name: string) => string {
  const folder = mkdtempSync(join(tmpdir(), 'umbel-tls-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const openssl = (line: string): void => void execFileSync('openssl', line.split(' '), { stdio: 'ignore', cwd: folder });
  const key = '-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes';
  openssl(`req -x509 ${key} -keyout ca.key -out ca.pem -subj /CN=authority -days 2`);
  for (const [name, subject] of [
    ['server', serverName],
    ['client', 'worker'],
  ] as const) {
    openssl(`req ${key} -keyout ${name}.key -out ${name}.csr -subj /CN=${subject} -addext subjectAltName=DNS:${subject}`);
    openssl(`x509 -req -in ${name}.csr -CA ca.pem -CAkey ca.key -out ${name}.pem -days 2 -copy_extensions copy`);
  }
  return (name) => join(folder, name);
}
