/**
 * What every result backend must do, run over each of them.
 *
 * Owns the meaning of the contract in src/backend/backend.ts. Task ids are random, so that it runs on a shared server.
 */
import { randomUUID } from 'node:crypto';
import type { Test } from 'tap';
import type { ResultBackend } from '../../src/backend/backend.ts';
import type { ResultRecord } from '../../src/protocol/result.ts';

export interface BackendPlace {
  /** A new backend on this place, not yet started. The suite stops it. null: results are kept for ever. */
  create(resultExpiresMs: number | null): Promise<ResultBackend>;
  /** Backends on one place see each other's results. */
  readonly shared: boolean;
  /** false: dates, groups and parents are not part of what is read back. Default: true. */
  readonly wholeDocuments?: boolean;
  close(): Promise<void>;
}

export interface BackendConformanceParams {
  readonly name: string;
  open(): Promise<BackendPlace>;
}

const minuteMs = 60_000;

export function backendConformance(t: Test, params: BackendConformanceParams): void {
  const test = (
    title: string,
    body: (
      t: Test,
      open: (resultExpiresMs?: number | null) => Promise<ResultBackend>,
      shared: boolean,
      wholeDocuments: boolean,
    ) => Promise<void>,
  ) => {
    t.test(`${params.name}: ${title}`, async (t) => {
      const place = await params.open();
      const backends: ResultBackend[] = [];
      const open = async (resultExpiresMs: number | null = minuteMs) => {
        const backend = await place.create(resultExpiresMs);
        backends.push(backend);
        await backend.start();
        return backend;
      };
      try {
        await body(t, open, place.shared, place.wholeDocuments ?? true);
      } finally {
        for (const backend of backends) await backend.stop();
        await place.close();
      }
    });
  };

  test('a document is read back as it was stored', async (t, open, _shared, wholeDocuments) => {
    const backend = await open();
    const taskId = randomUUID();
    t.equal(await backend.get(taskId), null, 'nothing stored');
    const value = { list: [1, 2.5, 'ü\u2028"', null, true], deep: { a: {} } };
    await backend.store(record(taskId, 'SUCCESS', value, { groupId: 'g', parentId: 'p' }));
    const document = await backend.get(taskId);
    t.match(document, { task_id: taskId, status: 'SUCCESS', traceback: null, children: [] });
    t.strictSame(document?.result, value);
    if (!wholeDocuments) return;
    t.match(document, { group_id: 'g', parent_id: 'p' });
    t.match(document?.date_done, /^2026-01-01T00:00:00/);
  });

  test('states follow each other, and SUCCESS is never overwritten', async (t, open) => {
    const backend = await open();
    const taskId = randomUUID();
    for (const status of ['STARTED', 'RETRY', 'FAILURE', 'SUCCESS']) {
      await backend.store(record(taskId, status, status));
      t.equal((await backend.get(taskId))?.status, status);
    }
    await backend.store(record(taskId, 'FAILURE', 'too late'));
    await backend.store(record(taskId, 'SUCCESS', 'again'));
    t.match(await backend.get(taskId), { status: 'SUCCESS', result: 'SUCCESS' });
  });

  test('a failure keeps its exception and traceback', async (t, open) => {
    const backend = await open();
    const taskId = randomUUID();
    const exception = { exc_type: 'ValueError', exc_message: ['boom'], exc_module: 'builtins' };
    await backend.store({ ...record(taskId, 'FAILURE', exception), traceback: 'Traceback …\nValueError: boom\n' });
    t.match(await backend.get(taskId), { status: 'FAILURE', result: exception, traceback: 'Traceback …\nValueError: boom\n' });
  });

  test('forget', async (t, open) => {
    const backend = await open();
    const taskId = randomUUID();
    await backend.store(record(taskId, 'SUCCESS', 1));
    await backend.forget(taskId);
    t.equal(await backend.get(taskId), null);
    await backend.forget(taskId);
    await backend.store(record(taskId, 'FAILURE', 2));
    t.equal((await backend.get(taskId))?.status, 'FAILURE', 'a forgotten success protects nothing');
  });

  test('wait returns what is there', async (t, open) => {
    const backend = await open();
    const taskId = randomUUID();
    await backend.store(record(taskId, 'SUCCESS', 42));
    t.equal((await backend.wait(taskId, { timeoutMs: minuteMs })).result, 42);
  });

  test('wait wakes up for a ready state, also of another backend', async (t, open, shared) => {
    const reader = await open();
    const writer = shared ? await open() : reader;
    for (const status of ['SUCCESS', 'FAILURE', 'REVOKED']) {
      const taskId = randomUUID();
      const waits = [reader.wait(taskId, { timeoutMs: null }), reader.wait(taskId, { timeoutMs: minuteMs })];
      await writer.store(record(taskId, 'STARTED', { pid: 1 }));
      await writer.store(record(randomUUID(), 'SUCCESS', 'of somebody else'));
      await writer.store(record(taskId, status, status));
      for (const document of await Promise.all(waits)) t.match(document, { status, result: status, task_id: taskId });
    }
  });

  test('1,000 waiters, each gets its own', async (t, open, shared) => {
    const reader = await open();
    const writer = shared ? await open() : reader;
    const ids = Array.from({ length: 1000 }, () => randomUUID());
    const waits = ids.map((taskId) => reader.wait(taskId, { timeoutMs: minuteMs }));
    await Promise.all(ids.map((taskId, index) => writer.store(record(taskId, 'SUCCESS', index))));
    const documents = await Promise.all(waits);
    t.ok(documents.every((document, index) => document.result === index && document.task_id === ids[index]));
  });

  test('wait gives up after its time, and on a signal', async (t, open) => {
    const backend = await open();
    const taskId = randomUUID();
    await t.rejects(backend.wait(taskId, { timeoutMs: 30 }), { code: 'RESULT_TIMEOUT' });
    const controller = new AbortController();
    const waiting = backend.wait(taskId, { timeoutMs: null, signal: controller.signal });
    controller.abort(new Error('changed my mind'));
    await t.rejects(waiting, { message: 'changed my mind' });
    await t.rejects(backend.wait(taskId, { timeoutMs: null, signal: controller.signal }), { message: 'changed my mind' });
    await backend.store(record(taskId, 'SUCCESS', 1));
    t.equal((await backend.wait(taskId, { timeoutMs: minuteMs })).result, 1, 'later waits are not harmed');
  });

  test('what has expired is gone, and cleaned up', async (t, open) => {
    const shortLived = await open(1);
    const taskId = randomUUID();
    await shortLived.store(record(taskId, 'SUCCESS', 1));
    const storedAtMs = Date.now();
    while (Date.now() <= storedAtMs + 1) await new Promise((resolve) => setImmediate(resolve));
    t.equal(await shortLived.get(taskId), null);
    await shortLived.store(record(taskId, 'FAILURE', 2));
    const again = await shortLived.get(taskId);
    t.ok(again === null || again.status === 'FAILURE', 'an expired success protects nothing');
    t.type(await shortLived.cleanup(), 'number');
  });

  test('20 rounds of start and stop, and use outside of them', async (t, open) => {
    const backend = await open();
    const taskId = randomUUID();
    await backend.store(record(taskId, 'SUCCESS', 'kept'));
    for (let round = 0; round < 20; round++) {
      const other = await open();
      const id = randomUUID();
      await other.store(record(id, 'SUCCESS', round));
      t.equal((await other.get(id))?.result, round);
      await Promise.all([other.stop(), other.stop()]);
    }
    t.equal((await backend.get(taskId))?.result, 'kept');
  });
}

export function record(taskId: string, status: string, value: unknown, more: Partial<ResultRecord> = {}): ResultRecord {
  return {
    taskId,
    status,
    resultJson: JSON.stringify(value),
    traceback: null,
    childrenJson: '[]',
    dateDoneMs: ['SUCCESS', 'FAILURE', 'REVOKED'].includes(status) ? Date.UTC(2026, 0, 1) : null,
    groupId: null,
    parentId: null,
    ...more,
  };
}
