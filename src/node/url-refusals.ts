/** What is wrong with the URLs of broker and results beyond their schemes, found before anything is opened. */
import { openConnections } from '../client/connections.ts';
import type { Config } from '../config/config.ts';
import { UmbelError } from '../errors.ts';
import { createLogger } from '../log/create-logger.ts';

export interface UrlRefusal {
  readonly setting: 'broker_url' | 'result_backend';
  readonly message: string;
}

/** No server is connected to, and no folder made. */
export function urlRefusals({ settings }: Config, env: NodeJS.ProcessEnv): readonly UrlRefusal[] {
  const { broker_url: brokerUrl, result_backend: backendUrl } = settings;
  const log = createLogger({ level: 'critical', format: 'text', processName: 'umbel' });
  const noMatter = {
    env,
    workdir: process.cwd(),
    synchronous: 'normal',
    busyTimeoutMs: 0,
    leaseMs: 1000,
    resultExpiresMs: null,
    log,
  } as const;
  const refusal = (setting: UrlRefusal['setting'], urls: { brokerUrl: string; backendUrl: string }): readonly UrlRefusal[] => {
    try {
      openConnections({ ...noMatter, ...urls });
      return [];
    } catch (error) {
      if (!(error instanceof UmbelError)) throw error;
      return [{ setting, message: error.message }];
    }
  };
  return [
    ...(brokerUrl === null ? [] : refusal('broker_url', { brokerUrl, backendUrl: 'disabled' })),
    ...(backendUrl === null ? [] : refusal('result_backend', { brokerUrl: 'memory://', backendUrl })),
  ];
}
