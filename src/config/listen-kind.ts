/** The kind of a place to listen on: `127.0.0.1:9809`, `[::1]:9809`, `:9809` (loopback), or the path of a Unix socket. */
import { type Kind, path, Refusal, text } from './kind.ts';

export type ListenPlace = { readonly host: string; readonly port: number } | { readonly path: string };

const rule = "a loopback address with a port ('127.0.0.1:9809', ':9809') or the absolute path of a Unix socket";

/** null: it is none. */
export function readListenPlace(place: string): ListenPlace | null {
  if (place.startsWith('/')) return { path: place };
  const [, host, port] = /^(127(?:\.\d+){3}|localhost|\[::1\])?:(\d+)$/.exec(place) ?? [];
  if (port === undefined || Number(port) > 65_535) return null;
  return { host: host === undefined || host === 'localhost' ? '127.0.0.1' : host.replace(/[[\]]/g, ''), port: Number(port) };
}

export function listenPlace(): Kind<string> {
  const base = text({ rule });
  const read = (value: unknown): string | Refusal =>
    typeof value === 'string' && readListenPlace(value) !== null ? value : new Refusal(`must be ${rule}, got ${JSON.stringify(value)}`);
  return { ...base, rule, label: 'address or path', readText: read, readValue: read };
}

/** A path, or the word `disabled`. */
export function pathOrDisabled(): Kind<string> {
  const base = path();
  return {
    ...base,
    rule: "a path, or 'disabled'",
    resolve: (value, folder) => (value === 'disabled' ? value : (base.resolve?.(value, folder) ?? value)),
  };
}
