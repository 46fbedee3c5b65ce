/**
 * From the files and words of a TLS setting to what Node's TLS takes.
 *
 * Files are read anew for each connection: certificates are renewed while workers run. What cannot be used is said before anything is sent: left to the
 * handshake it would look like a server that is away.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { type ConnectionOptions, createSecureContext } from 'node:tls';

/** As Python's ssl module has it: how far a server's certificate is looked at. */
export type CertReqs = 'required' | 'optional' | 'none';

export interface TlsSettings {
  readonly certReqs: CertReqs;
  /** The name in the certificate must be that of the host. */
  readonly checkHostname: boolean;
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly keyPassword?: string;
  /** Name to ask for and to expect instead of the host's. */
  readonly serverHostname?: string;
  readonly ciphers?: string;
}

/** Its message is the rule and what was found instead. */
export class TlsProblem extends Error {}

/** `host` null: it has no name. Throws TlsProblem. */
export function tlsOptions(tls: TlsSettings, host: string | null): ConnectionOptions {
  const serverName = tls.serverHostname ?? (host === null || isIP(host) !== 0 ? null : host);
  const ca = read('ssl_ca_certs', tls.caFile);
  const cert = read('ssl_certfile', tls.certFile);
  const key = read('ssl_keyfile', tls.keyFile) ?? cert;
  const password = tls.keyPassword;
  if (ca !== undefined) usable('ssl_ca_certs', tls.caFile, 'certificates', () => new X509Certificate(ca));
  if (cert !== undefined) usable('ssl_certfile', tls.certFile, 'a certificate', () => createSecureContext({ cert }));
  const withPassword = password === undefined ? {} : { passphrase: password };
  if (key !== undefined) {
    // As in Python's ssl module, the certificate's file may hold the key as well.
    const [rule, given] =
      tls.keyFile === undefined
        ? ['given unless ssl_certfile holds a private key, too, that ssl_password opens', `only ssl_certfile ${tls.certFile}`]
        : ['a private key, and ssl_password its password', tls.keyFile];
    usable('ssl_keyfile', given, rule, () => createSecureContext({ key, ...withPassword }));
    if (cert === undefined) throw new TlsProblem(`ssl_certfile must be given with ssl_keyfile, got only ssl_keyfile ${tls.keyFile}`);
    usable('ssl_keyfile', given, 'the key of ssl_certfile', () => createSecureContext({ cert, key, ...withPassword }));
  }
  const { ciphers } = tls;
  if (ciphers !== undefined) usable('ciphers', ciphers, 'names of ciphers', () => createSecureContext({ ciphers }));
  return {
    rejectUnauthorized: tls.certReqs !== 'none',
    ...(serverName === null ? {} : { servername: serverName }),
    ...(tls.checkHostname && tls.certReqs !== 'none' ? {} : { checkServerIdentity: () => undefined }),
    ...(ciphers === undefined ? {} : { ciphers }),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...withPassword,
  };
}

/** What OpenSSL says of a handshake, which is number, library, function, reason and source file on two lines: the reason; null: it is not OpenSSL that speaks. */
export function tlsReason(text: string): string | null {
  return /:error:[0-9A-F]+:SSL routines:[^:]*:([^:]+):/.exec(text)?.[1] ?? null;
}

function read(name: string, path: string | undefined): Buffer | undefined {
  if (path === undefined) return undefined;
  try {
    return readFileSync(path);
  } catch (error) {
    throw new TlsProblem(`${name} must be a readable file, got ${path}: ${textOf(error)}`, { cause: error });
  }
}

function usable(name: string, given: string | undefined, what: string, attempt: () => unknown): void {
  try {
    attempt();
  } catch (error) {
    throw new TlsProblem(`${name} must be ${what}, got ${given}: ${textOf(error)}`, { cause: error });
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
