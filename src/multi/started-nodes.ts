/**
 * The nodes of a service that names none: those the configuration declares, and those it has started that are no longer declared.
 *
 * Owns the file in which the names of started nodes are kept, so that a service stops what it has started after the configuration was
 * changed, or broken. The file belongs to the user of the workers, so it is read as names and nothing else. Starts and stops nothing.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { messageOf, UmbelError } from '../errors.ts';
import { readPidfile } from '../os/pidfile.ts';
import { makeFolder } from '../os/service-folder.ts';
import type { MultiNode } from './multi-node.ts';

export interface ServiceNodes {
  readonly own: readonly MultiNode[];
  /** Run, and are not declared any more. */
  readonly gone: readonly MultiNode[];
}

export interface ServiceNodesParams {
  readonly path: string;
  readonly purpose: 'start' | 'stop' | 'look';
  /** Throws what is wrong with the configuration. */
  declared(): readonly string[];
  nodes(names: readonly string[]): readonly MultiNode[];
  /** As they are without the options that are for some nodes only. */
  formerNodes(names: readonly string[]): readonly MultiNode[];
}

/** As in Celery's guide, where nothing is declared. */
const defaultNames = ['celery'];

/** To stop them, the configuration is asked only where nothing was kept; to look at them, it may be broken. */
export function serviceNodes({ path, purpose, declared, nodes, formerNodes }: ServiceNodesParams): ServiceNodes {
  const started = readNames(path);
  if (purpose === 'stop' && started.length > 0) return { own: formerNodes(started), gone: [] };
  const own = nodes(ownNames());
  const gone = started.length === 0 ? [] : formerNodes(started);
  return {
    own,
    gone: gone.filter((one) => own.every(({ pidfile }) => pidfile !== one.pidfile) && readPidfile(one.pidfile).kind === 'running'),
  };

  function ownNames(): readonly string[] {
    try {
      const names = declared();
      return names.length > 0 ? names : defaultNames;
    } catch (error) {
      if (purpose === 'start' || started.length === 0) throw error;
      return started;
    }
  }
}

/** Throws FILE_CANNOT_CREATE. */
export function keepStarted(path: string, { own, gone }: ServiceNodes): void {
  try {
    makeFolder(dirname(path));
    writeFileSync(`${path}.new`, [...own, ...gone].map(({ name }) => `${name}\n`).join(''));
    renameSync(`${path}.new`, path);
  } catch (error) {
    const rule = 'the file of the names of started nodes must be writable';
    throw new UmbelError('FILE_CANNOT_CREATE', `${rule}, got ${path}: ${messageOf(error)} (--nodes-file)`, { cause: error });
  }
}

function readNames(path: string): readonly string[] {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => /^[^\s%/@]+@[^\s%/]+$/.test(line));
  } catch {
    // Nothing was started yet, or by somebody else.
    return [];
  }
}
