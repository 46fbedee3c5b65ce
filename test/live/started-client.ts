/** Clients in the test's own process, which end with the test. */
import type { Test } from 'tap';
import type { Client } from '../../src/client/client.ts';
import { App, type AppOptions } from '../../src/client/umbel.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { openClient } from '../../src/node/open-client.ts';
import type { LiveFolder } from './live-folder.ts';

export function startedApp(t: Test, options: AppOptions): Promise<App> {
  return started(t, new App(options));
}

/** As the commands in this folder have it: from its umbel.toml. */
export function startedClient(t: Test, folder: LiveFolder): Promise<Client> {
  return started(t, openClient(loadConfig({ flags: {}, env: folder.env, cwd: folder.path }), folder.env));
}

async function started<T extends Client>(t: Test, client: T): Promise<T> {
  t.teardown(() => client.stop());
  await client.start();
  return client;
}
