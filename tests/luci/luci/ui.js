'use strict';
'require baseclass';
'require dom';

/* Stand-in for LuCI's notices, dialogues, handlers that lock their button, and applying of changes. */

/* One value a line. */
class DynamicList {
	constructor(values, choices, options) {
		this.field = E('textarea', { 'rows': 2, 'placeholder': options.placeholder ?? null, 'disabled': options.disabled ? '' : null }, [ values.join('\n') ]);
	}

	render() {
		return E('div', { 'class': 'cbi-dynlist' }, [ this.field ]);
	}

	getValue() {
		return this.field.value.split('\n').map((line) => line.trim()).filter(Boolean);
	}
}

return baseclass.extend({
	DynamicList,

	instantiateView(path) {
		return L.compile(`view.${path.replaceAll('/', '.')}`).then((View) => new View());
	},

	createHandlerFn(context, handler, ...args) {
		const work = typeof handler === 'string' ? context[handler] : handler;

		return (event) => {
			const button = event.currentTarget;

			button.disabled = true;

			return Promise.resolve(work.call(context, ...args, event)).finally(() => { button.disabled = false; });
		};
	},

	addNotification(title, children, style) {
		document.getElementById('maincontent').prepend(E('div', { 'class': `alert-message ${style ?? ''}`, 'data-name': 'notice' }, [ title ? E('h4', title) : '', ...[ children ].flat() ]));
	},

	showModal(title, children) {
		this.hideModal();

		const modal = E('div', { 'class': 'modal', 'role': 'dialog', 'aria-modal': 'true' }, [ E('h4', title), ...[ children ].flat() ]);

		document.body.appendChild(E('div', { 'id': 'modal_overlay' }, modal));

		return modal;
	},

	hideModal() {
		document.getElementById('modal_overlay')?.remove();
	},

	changes: {
		apply(checked) {
			return fetch(L.url('admin/uci', checked ? 'apply_rollback' : 'apply_unchecked'), { method: 'POST' }).then(() => {
				document.dispatchEvent(new CustomEvent('uci-applied'));
				setTimeout(() => window.location.reload(), L.env.apply_display * 1000);
			});
		}
	}
});
