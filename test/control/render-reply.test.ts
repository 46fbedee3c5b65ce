/** Replies as Celery 5.2 printed them, character by character. */
import t from 'tap';
import { onlineCount, renderReply } from '../../src/control/render-reply.ts';

const shown = (value: unknown): string => renderReply('w1@x', value, true);

t.test('texts, lists, objects, nothing', async (t) => {
  t.equal(renderReply('w1@x', { ok: 'pong' }, false), '->  w1@x: OK');
  t.equal(shown({ ok: 'pong' }), '->  w1@x: OK\n        pong');
  t.equal(shown({ error: 'unknown task' }), '->  w1@x: ERROR\n        unknown task');
  t.equal(shown(null), '->  w1@x: OK\n    None');
  t.equal(shown([]), '->  w1@x: OK\n    - empty -');
  t.equal(shown(['abc', 'def']), '->  w1@x: OK\n    * abc\n    * def');
  t.equal(shown({ clock: 52 }), '->  w1@x: OK\n    {\n        "clock": 52\n    }\n    ');
  t.equal(shown({}), '->  w1@x: OK\n    {}\n    ');
  t.equal(shown({ ok: '\na: \n  b\n' }), '->  w1@x: OK\n        \n        a: \n          b\n        ');
  t.equal(shown('52.445MB'), '->  w1@x: OK\n    52.445MB');
});

t.test('objects sorted, items of lists as Python prints them', async (t) => {
  t.equal(
    shown({ b: { d: [0, 0], c: null }, a: 1 }),
    '->  w1@x: OK\n    {\n        "a": 1,\n        "b": {\n            "c": null,\n            "d": [\n                0,\n                0\n            ]\n        }\n    }\n    ',
  );
  t.equal(
    shown([
      {
        id: 'x',
        args: [600, "it's", { deep: { deeper: [[true]] } }],
        time_start: 1795191320.9130685,
        worker_pid: null,
        acknowledged: false,
      },
    ]),
    `->  w1@x: OK\n    * {'id': 'x', 'args': [600, "it's", {'deep': {'deeper': [[True]]}}], 'time_start': 1795191320.9130685, 'worker_pid': None, 'acknowledged': False}`,
  );
});

t.test('how many nodes', async (t) => {
  t.equal(onlineCount(1), '\n1 node online.');
  t.equal(onlineCount(2), '\n2 nodes online.');
});
