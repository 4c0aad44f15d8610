//! What travels: the cell, its blocks, and the IP headers inside. Checked views and owned representations; no I/O.
