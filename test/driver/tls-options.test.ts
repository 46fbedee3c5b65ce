/** What a TLS setting becomes, and what is said of files that cannot be used. Skipped where openssl is missing. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { TlsProblem, type TlsSettings, tlsOptions } from '../../src/driver/tls-options.ts';
import { certificates, noCertificates } from './certificates.ts';

const strict: TlsSettings = { certReqs: 'required', checkHostname: true };

t.test('how far the server is checked, and under which name', async (t) => {
  t.strictSame(tlsOptions(strict, 'host'), { rejectUnauthorized: true, servername: 'host' });
  t.strictSame(tlsOptions(strict, '10.0.0.1'), { rejectUnauthorized: true });
  t.strictSame(tlsOptions(strict, '::1'), { rejectUnauthorized: true });
  t.strictSame(tlsOptions(strict, null), { rejectUnauthorized: true });
  t.strictSame(tlsOptions({ ...strict, serverHostname: 'other' }, 'host'), { rejectUnauthorized: true, servername: 'other' });
  const unnamed = tlsOptions({ ...strict, checkHostname: false }, 'host');
  t.equal(unnamed.checkServerIdentity?.('host', {} as never), undefined);
  t.equal(unnamed.rejectUnauthorized, true);
  const careless = tlsOptions({ certReqs: 'none', checkHostname: true }, 'host');
  t.equal(careless.rejectUnauthorized, false);
  t.type(careless.checkServerIdentity, 'function');
});

t.test('files', { skip: noCertificates }, async (t) => {
  const path = certificates(t, 'server.test');
  const files = { caFile: path('ca.pem'), certFile: path('client.pem'), keyFile: path('client.key') };
  const options = tlsOptions({ ...strict, ...files, ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' }, 'host');
  t.match(options, { ca: /BEGIN CERT/, cert: /BEGIN CERT/, key: /PRIVATE KEY/, ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' });
  t.notOk('passphrase' in options);

  const locked = path('locked.key');
  execFileSync('openssl', ['ec', '-in', path('client.key'), '-aes256', '-passout', 'pass:geheim', '-out', locked], { stdio: 'ignore' });
  t.equal(tlsOptions({ ...strict, ...files, keyFile: locked, keyPassword: 'geheim' }, 'host').passphrase, 'geheim');

  const both = path('both.pem');
  writeFileSync(both, Buffer.concat([readFileSync(path('client.pem')), readFileSync(path('client.key'))]));
  t.match(
    tlsOptions({ ...strict, certFile: both }, 'host'),
    { cert: /BEGIN CERT/, key: /PRIVATE KEY/ },
    'as Python has it, one file for both',
  );

  writeFileSync(path('text'), 'no certificate');
  const refused = (tls: Partial<TlsSettings>, message: RegExp): void => {
    try {
      tlsOptions({ ...strict, ...tls }, 'host');
      t.fail(`accepted: ${message}`);
    } catch (error) {
      t.ok(error instanceof TlsProblem, String(error));
      t.match((error as Error).message, message);
      t.notMatch((error as Error).message, /geheim|falsch/);
    }
  };
  for (const [key, name] of [
    ['caFile', 'ssl_ca_certs'],
    ['certFile', 'ssl_certfile'],
    ['keyFile', 'ssl_keyfile'],
  ] as const) {
    refused({ [key]: '/no/such.pem' }, new RegExp(`^${name} must be a readable file, got /no/such\\.pem: ENOENT`));
    refused({ [key]: path('text') }, new RegExp(`^${name} must be .*(certificate|private key).*, got ${path('text')}: `));
  }
  refused({ keyFile: locked }, /^ssl_keyfile must be a private key, and ssl_password its password, got .*locked\.key/);
  refused({ keyFile: locked, keyPassword: 'falsch' }, /^ssl_keyfile must be a private key, and ssl_password its password/);
  refused({ ...files, keyFile: path('server.key') }, /^ssl_keyfile must be the key of ssl_certfile, got .*server\.key/);
  refused(
    { certFile: path('client.pem') },
    /^ssl_keyfile must be given unless ssl_certfile holds a private key, too.*, got only ssl_certfile .*client\.pem/,
  );
  refused({ keyFile: path('client.key') }, /^ssl_certfile must be given with ssl_keyfile, got only ssl_keyfile .*client\.key/);
  refused({ ciphers: 'NO_SUCH_CIPHER' }, /^ciphers must be names of ciphers, got NO_SUCH_CIPHER/);
});
