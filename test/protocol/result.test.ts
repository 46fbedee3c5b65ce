import t from 'tap';
import { parseIsoTime } from '../../src/protocol/iso-time.ts';
import { decodeResultDocument, encodeResultDocument, type ResultRecord } from '../../src/protocol/result.ts';
import { loadVectors } from './vectors.ts';

interface StoredVector {
  name: string;
  raw?: string | null;
  json?: Record<string, unknown> | null;
}

/** The record our parent would have stored for a document of Celery's. */
function recordOf(document: Record<string, unknown>): ResultRecord {
  const { status, result, traceback, children, date_done, group_id, parent_id, task_id, name, args, kwargs, worker, retries, queue } =
    document;
  const extended = { name, argsJson: JSON.stringify(args), kwargsJson: JSON.stringify(kwargs), worker, retries, queue };
  return {
    taskId: task_id,
    status,
    resultJson: JSON.stringify(result),
    traceback,
    childrenJson: JSON.stringify(children),
    // ≤ 5.3 writes naive UTC.
    dateDoneMs: typeof date_done === 'string' ? parseIsoTime(date_done) : null,
    groupId: group_id ?? null,
    parentId: parent_id ?? null,
    ...('name' in document ? { extended } : {}),
  } as ResultRecord;
}

for (const [file, groups] of [
  ['results-redis.json', ['results', 'results_extended']],
  ['results-redis-5.6.3.json', ['results']],
] as const) {
  t.test(`documents of ${file}`, async (t) => {
    const vectors = loadVectors(t, file) as Record<string, StoredVector[]> | null;
    if (vectors === null) return;
    let checked = 0;
    for (const group of groups) {
      for (const { name, raw } of vectors[group] ?? []) {
        const stored = typeof raw === 'string' ? JSON.parse(raw) : null;
        if (stored === null || !('status' in stored)) continue;
        checked += 1;
        t.strictSame(decodeResultDocument(raw as string), stored, `${name} is read`);
        const written = JSON.parse(encodeResultDocument(recordOf(stored)));
        const zone = typeof stored.date_done === 'string' && !stored.date_done.endsWith('+00:00') ? '+00:00' : '';
        const { stamped_headers, ...known } = stored;
        const expected = stored.date_done === null ? known : { ...known, date_done: `${stored.date_done}${zone}` };
        t.strictSame(written, expected, `${name} is written`);
        t.strictSame(Object.keys(written), Object.keys(expected), `${name}: keys in order`);
      }
    }
    t.ok(checked > 10, `${checked} documents checked`);
  });
}

t.test('tolerant reading', async (t) => {
  t.strictSame(decodeResultDocument('{"status": "SUCCESS", "task_id": "x", "result": NaN, "own": 1}'), {
    status: 'SUCCESS',
    task_id: 'x',
    result: Number.NaN,
    own: 1,
    traceback: null,
    children: null,
    date_done: null,
  });
  t.match(
    decodeResultDocument('{"status": "SUCCESS", "task_id": "x", "result": {"__type__": "datetime", "__value__": "2030-01-02T03:04:05"}}'),
    {
      result: new Date('2030-01-02T03:04:05Z'),
    },
  );
  for (const text of ['', '[]', 'null', '{"status": "SUCCESS"}', '{"task_id": "x"}', '{"status": 1, "task_id": "x"}']) {
    t.throws(() => decodeResultDocument(text), { code: 'MESSAGE_UNDECODABLE', message: /result document/ }, text);
  }
});

t.test('awkward text is escaped', async (t) => {
  const record: ResultRecord = {
    taskId: 'a"b',
    status: 'MY "STATE"',
    resultJson: '[NaN]',
    traceback: 'line 1\n"line" 2',
    childrenJson: 'null',
    dateDoneMs: null,
    groupId: 'g\\',
    parentId: 'é',
  };
  t.match(decodeResultDocument(encodeResultDocument(record)), {
    task_id: 'a"b',
    status: 'MY "STATE"',
    traceback: 'line 1\n"line" 2',
    children: null,
    date_done: null,
    group_id: 'g\\',
    parent_id: 'é',
  });
});
