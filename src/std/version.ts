/**
 * The version of this program.
 *
 * The bundler replaces the identifier `UMBEL_VERSION` by the version in package.json (esbuild `define`), so the binary reads no
 * file for it; run from the sources, it is read from package.json on first use.
 */
import { readFileSync } from 'node:fs';

declare const UMBEL_VERSION: string | undefined;

let known: string | null = null;

export function version(): string {
  known ??= typeof UMBEL_VERSION === 'string' ? UMBEL_VERSION : fromPackage();
  return known;
}

function fromPackage(): string {
  const described: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  if (typeof described === 'object' && described !== null && 'version' in described) return String(described.version);
  return '0.0.0';
}
