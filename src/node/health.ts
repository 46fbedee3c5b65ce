/**
 * Probes and metrics of a worker: /livez, /readyz, /startupz and /metrics (Prometheus text).
 *
 * Live: its event loop turns. Ready: it takes tasks, so its broker is there.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Broker } from '../broker/broker.ts';
import type { Consumer } from '../consumer/consumer.ts';
import { type ProbeAnswer, type ProbePlace, ProbeServer } from '../driver/probe-server.ts';
import type { Component } from '../lifecycle/component.ts';
import { type ReadinessParams, unready } from './readiness.ts';
import { type Lag, lagResolutionMs, type WorkerMetricsParams, workerMetrics } from './worker-metrics.ts';

export interface HealthParams extends WorkerMetricsParams, ReadinessParams {
  /** null: nothing is served. */
  readonly place: ProbePlace | null;
  readonly broker: Broker;
  readonly consumer: Consumer;
}

export function health(params: HealthParams): Component {
  const { place } = params;
  if (place === null) return { name: 'health', start: async () => {}, stop: async () => {} };
  const lag = monitorEventLoopDelay({ resolution: lagResolutionMs });
  const server = new ProbeServer(place, (path) => answer(path, params, lag));
  return {
    name: 'health',
    start: async () => {
      lag.enable();
      await server.start();
    },
    stop: async () => {
      lag.disable();
      await server.stop();
    },
  };
}

function answer(path: string, params: HealthParams, lag: Lag): ProbeAnswer | null {
  switch (path) {
    case '/livez':
      return say(null);
    case '/startupz':
      return say(params.state() === 'new' ? 'starting' : null);
    case '/readyz':
      return say(unready(params));
    case '/metrics':
      return { status: 200, contentType: 'text/plain; version=0.0.4', body: workerMetrics(params, lag) };
    default:
      return null;
  }
}

function say(problem: string | null): ProbeAnswer {
  return { status: problem === null ? 200 : 503, contentType: 'text/plain', body: `${problem ?? 'ok'}\n` };
}
