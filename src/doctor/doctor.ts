/** The checks that ask servers and the machine: `umbel doctor`. Whoever is asked tells of itself (Broker.diagnose); nothing is changed there. */
import type { BackendReport, ResultBackend } from '../backend/backend.ts';
import type { Broker, QueueDeclaration } from '../broker/broker.ts';
import type { BrokerReport } from '../broker/broker-report.ts';
import { type Connections, defaultBrokerPath } from '../client/connections.ts';
import type { Config } from '../config/config.ts';
import type { TaskOffer } from '../ipc/exchange.ts';
import { configuredConnections } from '../node/open-client.ts';
import { machineLimits } from '../os/machine-limits.ts';
import type { NodeFindings } from './check.ts';
import { sqliteFile } from './embedded.ts';
import { type Finding, found } from './finding.ts';
import { taskTimes } from './limits.ts';
import { machine } from './machine.ts';
import { ModuleTrials } from './modules.ts';
import { rabbitmqBroker } from './rabbitmq.ts';
import { unreachable } from './reach.ts';
import { redisBroker, redisServer } from './redis.ts';
import { findingsOf, silentLog } from './refusals.ts';
import { placeOf, type Subject } from './subject.ts';
import { unitChecks } from './unit.ts';
import type { Unit } from './unit-file.ts';
import { waiting } from './waiting.ts';

export interface DoctorParams {
  readonly subjects: readonly Subject[];
  readonly unit: Unit | null;
  /** The operator knows it: AMQP does not tell. null: he does not. */
  readonly consumerTimeoutSeconds: number | null;
  /** As for `umbel check`: tasks may have time limits of their own. */
  readonly loadModules: boolean;
}

export async function runDoctor(params: DoctorParams): Promise<readonly NodeFindings[]> {
  const all: NodeFindings[] = [];
  const trials = new ModuleTrials();
  for (const subject of params.subjects) {
    const findings: Finding[] = [];
    // One that names no tasks is asked for its servers alone.
    const loads = params.loadModules && subject.config.settings.worker_tasks.length > 0;
    const loaded = loads ? await trials.of(subject) : { findings: [], tasks: null };
    findings.push(...loaded.findings, ...machine(subject, machineLimits(), params.unit));
    if (params.unit !== null) findings.push(...unitChecks(subject, params.unit));
    findings.push(...(await servers(subject, loaded.tasks, params.consumerTimeoutSeconds)));
    all.push({ node: subject.node, findings });
  }
  return all;
}

async function servers(
  subject: Subject,
  tasks: ReadonlyMap<string, TaskOffer> | null,
  consumerTimeoutSeconds: number | null,
): Promise<readonly Finding[]> {
  let connections: Connections;
  try {
    connections = configuredConnections(withFileNamed(subject), subject.env, silentLog());
  } catch (error) {
    return findingsOf(error, 'SETTINGS_REFUSED');
  }
  const { broker, backend } = connections;
  const place = placeOf(subject, 'broker_url');
  const report = await reportOf(broker, subject.names.queues, place);
  if (!('kind' in report)) return [report, ...(await resultServer(subject, broker, backend))];
  return [
    ...brokerFindings(subject, report, taskTimes(subject, tasks), consumerTimeoutSeconds),
    ...waiting(report, place),
    ...(await resultServer(subject, broker, backend)),
  ];
}

/** The file of the embedded broker by its name: where none is given, the folder would be made. */
function withFileNamed({ config, env }: Subject): Config {
  if (config.settings.broker_url !== null) return config;
  return { ...config, settings: { ...config.settings, broker_url: `sqlite:///${defaultBrokerPath(env)}` } };
}

async function reportOf(broker: Broker, queues: readonly QueueDeclaration[], place: string): Promise<BrokerReport | Finding> {
  try {
    return await broker.diagnose({ queues });
  } catch (error) {
    return unreachable(error, place);
  }
}

function brokerFindings(
  subject: Subject,
  report: BrokerReport,
  times: ReturnType<typeof taskTimes>,
  consumerTimeoutSeconds: number | null,
): readonly Finding[] {
  switch (report.kind) {
    case 'memory':
      return [
        found('BROKER_IN_MEMORY', 'the broker must be one that other processes reach, got memory://', placeOf(subject, 'broker_url')),
      ];
    case 'embedded':
      return [...sqliteFile(report.file, placeOf(subject, 'broker_url'), subject.config.settings.broker_url !== null)];
    case 'redis':
      return [...redisBroker(subject, report, times)];
    case 'rabbitmq':
      return [...rabbitmqBroker(subject, report, { consumerTimeoutSeconds, times })];
  }
}

/** In the place of the broker it has been looked at with it. */
async function resultServer(subject: Subject, broker: Broker, backend: ResultBackend | null): Promise<readonly Finding[]> {
  if (backend?.diagnose === undefined || backend.commitsWith(broker)) return [];
  const place = placeOf(subject, 'result_backend');
  let report: BackendReport;
  try {
    report = await backend.diagnose();
  } catch (error) {
    return [unreachable(error, place)];
  }
  if (report.kind === 'sqlite') return [...sqliteFile(report.file, place, subject.config.settings.result_backend !== null)];
  // Results that are lost with the server are often meant to be.
  return [...redisServer(report.server, place)];
}
