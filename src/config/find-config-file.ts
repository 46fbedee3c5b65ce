/**
 * Which configuration file is read, and its text.
 *
 * In this order: the file named by --config, the one in UMBEL_CONFIG, ./umbel.toml, $XDG_CONFIG_HOME/umbel/umbel.toml
 * (~/.config), /etc/umbel/umbel.toml. The first that exists is the only one read. A file that was named must exist; a file
 * that exists must be readable: nothing is skipped silently.
 */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join, relative, resolve } from 'node:path';
import { messageOf, UmbelError } from '../errors.ts';

export interface ConfigFile {
  /** Absolute. */
  readonly path: string;
  readonly source: string;
}

interface FindParams {
  readonly env: NodeJS.ProcessEnv;
  /** What relative paths and ./umbel.toml are relative to. */
  readonly folder: string;
  /** From --config. */
  readonly named?: string | undefined;
}

interface Candidate {
  readonly path: string;
  /** Who named it; null: a place that is only looked at. */
  readonly namedBy: string | null;
}

/** The places, best first. With a named file it is the only one. */
export function configFileCandidates({ env, folder, named }: FindParams): readonly Candidate[] {
  if (named !== undefined) return [{ path: resolve(folder, named), namedBy: '--config' }];
  if (env.UMBEL_CONFIG) return [{ path: resolve(folder, env.UMBEL_CONFIG), namedBy: 'UMBEL_CONFIG' }];
  const xdg = env.XDG_CONFIG_HOME && isAbsolute(env.XDG_CONFIG_HOME) ? env.XDG_CONFIG_HOME : join(env.HOME || homedir(), '.config');
  return [resolve(folder, 'umbel.toml'), join(xdg, 'umbel', 'umbel.toml'), '/etc/umbel/umbel.toml'].map((path) => ({
    path,
    namedBy: null,
  }));
}

/** null when there is none. Throws CONFIG_UNREADABLE. */
export function findConfigFile(params: FindParams): ConfigFile | null {
  for (const { path, namedBy } of configFileCandidates(params)) {
    try {
      return { path, source: new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path)) };
    } catch (thrown) {
      const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined;
      if (namedBy === null && (code === 'ENOENT' || code === 'ENOTDIR')) continue;
      const reasons: Readonly<Record<string, string>> = {
        ENOENT: 'no such file',
        ENOTDIR: 'no such file',
        EACCES: 'permission denied',
        EISDIR: 'it is a folder',
        ERR_ENCODING_INVALID_ENCODED_DATA: 'it is not UTF-8',
      };
      const reason = reasons[String(code)] ?? messageOf(thrown);
      throw new UmbelError(
        'CONFIG_UNREADABLE',
        `the configuration file must be readable, got ${reason}: ${path}${namedBy === null ? '' : ` (${namedBy})`}`,
        {
          cause: thrown,
        },
      );
    }
  }
  return null;
}

/** A path for people: relative when the file is below `folder`, but not to the root. */
export function displayPath(path: string, folder: string): string {
  const short = relative(folder, path);
  return short === '' || short.startsWith('..') || folder === '/' || isAbsolute(short) ? path : short;
}
