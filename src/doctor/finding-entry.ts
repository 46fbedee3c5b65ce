/** The shape of an entry in the table of findings (finding-table.ts). */

/** Where it belongs in the documentation. */
export const topics = {
  configuration: 'Configuration',
  modules: 'Task modules and other modules',
  files: 'Users, files and folders',
  queues: 'Queues and routes',
  times: 'Times and prefetch',
  service: 'systemd and init script',
  machine: 'The machine',
  server: 'Any server',
  embedded: 'The embedded broker',
  redis: 'Redis',
  rabbitmq: 'RabbitMQ',
} as const;

export type Topic = keyof typeof topics;
export type Severity = 'error' | 'warning';

export interface FindingEntry {
  readonly topic: Topic;
  /** error: the worker will not start, or loses work. warning: it works, until something happens. */
  readonly severity: Severity;
  readonly sentence: string;
  readonly fix: string;
}
