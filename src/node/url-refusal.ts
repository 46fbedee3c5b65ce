/** What is wrong with the URLs of broker and results beyond their schemes, found before anything is opened. */
import { openConnections } from '../client/connections.ts';
import type { Config } from '../config/config.ts';
import { UmbelError } from '../errors.ts';
import { createLogger } from '../log/create-logger.ts';

export interface UrlRefusal {
  readonly setting: 'broker_url' | 'result_backend';
  readonly error: UmbelError;
}

/** null: nothing. No server is connected to, and no folder made. */
export function urlRefusal({ settings }: Config, env: NodeJS.ProcessEnv): UrlRefusal | null {
  const { broker_url: brokerUrl, result_backend: backendUrl } = settings;
  if (brokerUrl === null) return null;
  const log = createLogger({ level: 'critical', format: 'text', processName: 'umbel' });
  const noMatter = { synchronous: 'normal', busyTimeoutMs: 0, leaseMs: 1000, resultExpiresMs: null, log } as const;
  try {
    openConnections({ brokerUrl, backendUrl, env, workdir: process.cwd(), ...noMatter });
    return null;
  } catch (error) {
    if (!(error instanceof UmbelError)) throw error;
    return { setting: error.code === 'BACKEND_URL_INVALID' ? 'result_backend' : 'broker_url', error };
  }
}
