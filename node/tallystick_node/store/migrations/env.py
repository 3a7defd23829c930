"""Run by alembic, with the connection that `migrate` hands over."""

from alembic import context

from tallystick_node.store.models import Model

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Model.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
