/**
 * Owns the two kinds of lists: those that the broker filters, sorts and pages (`paged`), and the
 * short ones that are filtered and sorted here (`local`).
 */
import { h } from './dom.js';
import { query } from './api.js';
import { empty, filterBox, when } from './parts.js';
import { alter } from './router.js';
import { settings } from './settings.js';
import { columnsButton, pager, shownColumns, sorted, table } from './table.js';

/** The path of a list that the broker pages, from what the address says. */
export function pagedPath(context, target, sort = 'name') {
  const { fields } = context;
  return (
    target +
    query({
      page: fields.page ?? 1,
      page_size: settings.pageSize,
      name: fields.filter,
      use_regex: 'false',
      sort: fields.sort ?? sort,
      sort_reverse: fields.reverse ? 'true' : 'false',
    })
  );
}

/** A list that was read with `pagedPath`. */
export function paged(context, { id, label, columns, keyOf, href, none, sort = 'name' }) {
  const { fields } = context;
  return h(
    'div',
    null,
    h(
      'div',
      { class: 'tools' },
      filterBox(fields.filter ?? '', (filter) => alter({ filter, page: '' })),
      h('span', { class: 'room' }),
      columnsButton(id, columns, () => context.set({})),
    ),
    when(context, 'list', (list) =>
      list.items.length
        ? h(
            'div',
            { class: context.read('list').stale ? 'loading' : undefined },
            table({
              label,
              columns: shownColumns(id, columns),
              rows: list.items,
              memo: (context.state.memo ??= new WeakMap()),
              keyOf,
              href,
              order: { by: fields.sort ?? sort, reverse: Boolean(fields.reverse) },
              onOrder: ({ by, reverse }) =>
                alter({ sort: by, reverse: reverse ? '1' : '', page: '' }),
            }),
            pager(list, (page) => alter({ page: String(page) })),
          )
        : fields.filter
          ? empty('No name matches', 'The filter looks for a part of the name.')
          : none,
    ),
  );
}

/** A short list, filtered by `text(row)` and sorted here. */
export function local(context, { label, columns, rows, keyOf, href, none, text, sort = 'name' }) {
  const { fields } = context;
  const wanted = (fields.filter ?? '').toLowerCase();
  const found = wanted ? rows.filter((row) => text(row).toLowerCase().includes(wanted)) : rows;
  const order = { by: fields.sort ?? sort, reverse: Boolean(fields.reverse) };
  return h(
    'div',
    null,
    h(
      'div',
      { class: 'tools' },
      filterBox(fields.filter ?? '', (filter) => alter({ filter }), 'Filter'),
    ),
    found.length
      ? table({
          label,
          columns,
          rows: sorted(found, columns, order),
          keyOf,
          href,
          order,
          onOrder: ({ by, reverse }) => alter({ sort: by, reverse: reverse ? '1' : '' }),
        })
      : wanted
        ? empty('Nothing matches', 'Change the filter.')
        : none,
  );
}
