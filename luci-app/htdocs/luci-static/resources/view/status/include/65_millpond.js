// SPDX-License-Identifier: Apache-2.0
'use strict';
'require baseclass';
'require uci';
'require millpond.choices as choices';
'require millpond.daemon as daemon';
'require millpond.headline as headline';
'require millpond.words as words';

/* The tile on LuCI's status overview. */

return baseclass.extend({
	title: _('Millpond'),

	load() {
		return Promise.all([ daemon.status(), L.resolveDefault(uci.load('millpond')) ]).then(([ status ]) => status);
	},

	render(status) {
		const { style, word, text } = headline.of(status, choices.summary());
		const problems = L.toArray(status.problems).length;

		return E('div', { 'data-name': 'millpond-tile' }, [
			E('p', { 'class': 'millpond-row' }, [
				words.badge(style, word),
				E('span', { 'class': 'grow' }, [ text ]),
				problems ? words.badge('warning', N_(problems, '%d problem', '%d problems').format(problems)) : '',
				E('a', { 'href': L.url('admin/services/millpond/overview') }, _('Details'))
			])
		]);
	}
});
