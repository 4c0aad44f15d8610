'use strict';
'require baseclass';
'require dom';
'require uci';
'require ui';

/* Stand-in for LuCI's forms: maps of sections of options, with tabs, conditions and validation. */

const Option = baseclass.extend({
	value(key, text) {
		(this.choices ??= []).push([ key, text ]);
	},

	depends(option, value) {
		(this.conditions ??= []).push([ option, value ]);
	},

	config() {
		return this.section.map.config;
	},

	cfgvalue(id) {
		return uci.get(this.config(), id, this.name);
	},

	label(id) {
		return `widget.${this.config()}.${id}.${this.name}`;
	},

	render(id) {
		this.nodes ??= {};
		this.nodes[id] = E('div', { 'class': 'cbi-value', 'data-name': this.name }, [
			E('label', { 'class': 'cbi-value-title', 'for': this.label(id) }, this.title ?? ''),
			E('div', { 'class': 'cbi-value-field' }, [ this.renderWidget(id), E('div', { 'class': 'cbi-value-description' }, this.description ?? '') ])
		]);

		return this.nodes[id];
	},

	field(id) {
		return this.nodes[id].querySelector('input, select, textarea');
	},

	formvalue(id) {
		return this.field(id).value;
	},

	active(id) {
		return !this.conditions || this.conditions.some(([ option, value ]) => this.section.options.find((other) => other.name === option)?.formvalue(id) === value);
	},

	fault(id) {
		const value = this.formvalue(id);
		const result = this.active(id) && this.validate ? this.validate(id, value) : true;

		return result === true ? null : `${this.title}: ${result}`;
	},

	write(id) {
		const value = this.formvalue(id);
		const empty = value === null || value === '' || Array.isArray(value) && !value.length;

		if (!this.active(id) || empty || this.rmempty !== false && value === this.default && this.cfgvalue(id) === undefined)
			uci.unset(this.config(), id, this.name);
		else
			uci.set(this.config(), id, this.name, value);
	},

	show(id) {
		this.nodes[id].hidden = !this.active(id);
	}
});

const Value = Option.extend({
	renderWidget(id) {
		return E('input', { 'class': 'cbi-input-text', 'id': this.label(id), 'type': 'text', 'placeholder': this.placeholder ?? null, 'value': this.cfgvalue(id) ?? '' });
	}
});

const ListValue = Option.extend({
	renderWidget(id) {
		const current = this.cfgvalue(id) ?? this.default;

		return E('select', { 'class': 'cbi-input-select', 'id': this.label(id) }, this.choices.map(([ key, text ]) => E('option', { 'value': key, 'selected': key === current ? '' : null }, text)));
	}
});

const Flag = Option.extend({
	renderWidget(id) {
		return E('input', { 'id': this.label(id), 'type': 'checkbox', 'checked': this.cfgvalue(id) === '1' ? '' : null });
	},

	formvalue(id) {
		return this.field(id).checked ? '1' : '0';
	}
});

const MultiValue = Option.extend({
	renderWidget(id) {
		const current = L.toArray(this.cfgvalue(id));

		return E('select', { 'multiple': '', 'id': this.label(id) }, this.choices.map(([ key, text ]) => E('option', { 'value': key, 'selected': current.includes(key) ? '' : null }, text)));
	},

	formvalue(id) {
		return [ ...this.field(id).selectedOptions ].map((option) => option.value);
	}
});

const DynamicList = Option.extend({
	renderWidget(id) {
		return E('textarea', { 'id': this.label(id), 'rows': 2 }, L.toArray(this.cfgvalue(id)).join('\n'));
	},

	formvalue(id) {
		return this.field(id).value.split('\n').map((line) => line.trim()).filter(Boolean);
	}
});

const DummyValue = Option.extend({
	renderWidget(id) {
		return E('span', String(this.cfgvalue(id) ?? ''));
	},

	formvalue() {
		return null;
	},

	write() {}
});

const Button = DummyValue.extend({
	renderWidget() {
		return E('button', { 'class': `btn cbi-button cbi-button-${this.inputstyle}`, 'disabled': L.hasViewPermission() ? null : '', 'click': ui.createHandlerFn(this, 'onclick') }, this.inputtitle);
	}
});

const Section = baseclass.extend({
	tab(name, title) {
		(this.tabs ??= []).push([ name, title ]);
	},

	taboption(tab, Kind, ...rest) {
		return Object.assign(this.option(Kind, ...rest), { tab });
	},

	option(Kind, name, title, description) {
		const option = Object.assign(new Kind(), { section: this, name, title, description });

		(this.options ??= []).push(option);

		return option;
	},

	renderOptions(id) {
		const groups = this.tabs ?? [ [ undefined, null ] ];
		const node = E('div', { 'class': 'cbi-section-node', 'data-section-id': id }, groups.map(([ tab, title ]) => E('fieldset', [
			title ? E('legend', title) : '', ...this.options.filter((option) => option.tab === tab).map((option) => option.render(id))
		])));
		const show = () => this.options.forEach((option) => option.show(id));

		node.addEventListener('change', show);
		show();

		return node;
	},

	render() {
		return E('div', { 'class': 'cbi-section', 'id': `cbi-${this.map.config}-${this.type}` }, [
			E('h3', this.title ?? ''), E('p', this.description ?? ''), ...this.body()
		]);
	},

	formvalue(id, name) {
		const option = this.options.find((other) => other.name === name);

		return option?.active(id) ? option.formvalue(id) : null;
	},

	each(work) {
		return this.ids().flatMap((id) => this.options.map((option) => work(option, id)));
	}
});

const NamedSection = Section.extend({
	ids() {
		return uci.get(this.map.config, this.name) ? [ this.name ] : [];
	},

	body() {
		return this.ids().map((id) => this.renderOptions(id));
	}
});

const TypedSection = Section.extend({
	ids() {
		return uci.sections(this.map.config, this.type).map((section) => section['.name']).filter((id) => uci.get(this.map.config, id));
	},

	body() {
		const change = (work) => this.map.keepGoing(work);

		return [
			...this.ids().map((id) => E('div', [
				E('button', { 'class': 'btn cbi-button-remove', 'click': () => change(() => uci.remove(this.map.config, id)) }, _('Delete')), this.renderOptions(id)
			])),
			E('button', { 'class': 'btn cbi-button-add', 'click': () => change(() => uci.add(this.map.config, this.type)) }, this.addbtntitle ?? _('Add'))
		];
	}
});

const Map = baseclass.extend({
	section(Kind, ...rest) {
		const named = Kind === NamedSection;
		const [ name, type ] = named ? rest : [ null, rest[0] ];
		const [ title, description ] = rest.slice(named ? 2 : 1);
		const section = Object.assign(new Kind(), { map: this, name, type, title, description });

		(this.list ??= []).push(section);

		return section;
	},

	async render() {
		await uci.load(this.config);
		this.node ??= E('div', { 'class': 'cbi-map' });
		this.node.owner = this;
		dom.content(this.node, [ E('h2', this.title), E('div', { 'class': 'cbi-map-descr' }, this.description ?? ''), ...await Promise.all(this.list.map((section) => section.render())) ]);
		this.node.querySelectorAll('input, select, textarea, button').forEach((field) => { field.disabled = !L.hasViewPermission(); });

		return this.node;
	},

	write() {
		this.list.forEach((section) => section.each((option, id) => option.write(id)));
	},

	keepGoing(work) {
		this.write();
		work();

		return this.render();
	},

	async save() {
		const faults = this.list.flatMap((section) => section.each((option, id) => option.fault(id))).filter(Boolean);

		if (faults.length) {
			ui.addNotification(_('Save error'), E('p', faults.join('; ')), 'danger');
			throw new Error(faults.join('; '));
		}

		this.write();
		await uci.save();

		return this.render();
	},

	load() {
		return uci.load(this.config);
	},

	reset() {
		return this.render();
	}
});

function construct(config, title, description) {
	return Object.assign(new Map(), { config, title, description });
}

return baseclass.extend({ Map: construct, NamedSection, TypedSection, Value, ListValue, Flag, MultiValue, DynamicList, DummyValue, Button });
