/** What a report of a problem should tell: versions, the machine, the transport, the settings without their secrets. */
import { availableParallelism, release, totalmem } from 'node:os';
import { isSea } from 'node:sea';
import { resultsUrl } from '../client/connections.ts';
import type { Config } from '../config/config.ts';
import { messageOf } from '../errors.ts';
import { encodeJson } from '../protocol/json.ts';
import { maskUrl } from '../std/mask-url.ts';
import { version } from '../std/version.ts';
import { shownConfig } from './shown-config.ts';

export interface BugReport {
  readonly software: {
    readonly umbel: string;
    readonly node: string;
    readonly v8: string;
    readonly sqlite: string | null;
    readonly openssl: string | null;
    /** 'executable' or 'sources'. */
    readonly form: string;
  };
  readonly platform: {
    readonly system: string;
    readonly arch: string;
    readonly kernel: string;
    readonly cpus: number;
    readonly memory_bytes: number;
  };
  /** Where the configuration was read; null: there is no file. */
  readonly config_file: string | null;
  /** Why the configuration cannot be read; null: it can. */
  readonly config_problem: string | null;
  /** URL of the broker, without its password; null: the embedded one in its usual place. */
  readonly transport: string | null;
  /** Where results are kept, told as the broker is; 'disabled': nowhere. */
  readonly results: string | null;
  /** Those that differ from their defaults, by Celery's names. */
  readonly settings: Readonly<Record<string, unknown>>;
}

/** Asks nobody and connects to nothing. A configuration that cannot be read is a part of the report. */
export function bugReport(load: () => Config): BugReport {
  const { sqlite = null, openssl = null, node, v8 } = process.versions;
  return {
    software: { umbel: version(), node, v8, sqlite, openssl, form: isSea() ? 'executable' : 'sources' },
    platform: { system: process.platform, arch: process.arch, kernel: release(), cpus: availableParallelism(), memory_bytes: totalmem() },
    ...configured(load),
  };
}

type Configured = Omit<BugReport, 'software' | 'platform'>;

function configured(load: () => Config): Configured {
  try {
    const config = load();
    const { broker_url: broker, result_backend: backend } = config.settings;
    const results = resultsUrl(broker, backend);
    return {
      config_file: config.file,
      config_problem: null,
      transport: broker === null ? null : maskUrl(broker),
      results: results === null ? null : maskUrl(results),
      settings: shownConfig(config, false),
    };
  } catch (error) {
    return { config_file: null, config_problem: maskUrl(messageOf(error)), transport: null, results: null, settings: {} };
  }
}

/** As `celery report` shows it. */
export function bugReportText({
  software,
  platform,
  config_file: file,
  config_problem: problem,
  transport,
  results,
  settings,
}: BugReport): string {
  const versions = Object.entries(software).flatMap(([name, value]) => (value === null || name === 'form' ? [] : [`${name}:${value}`]));
  return [
    '',
    `software -> ${versions.join(' ')} (${software.form})`,
    `platform -> system:${platform.system} arch:${platform.arch}`,
    `            kernel version:${platform.kernel} cpus:${platform.cpus} memory:${Math.round(platform.memory_bytes / 1048576)}MB`,
    `config   -> ${problem === null ? (file ?? 'no file') : `it cannot be read: ${problem}`}`,
    ...(problem === null ? [`settings -> transport:${transport ?? 'embedded'} results:${results ?? 'embedded'}`] : []),
    '',
    ...Object.entries(settings).map(([name, value]) => `${name}: ${encodeJson(value)}`),
    '',
  ].join('\n');
}
