"""E-mail: inbound webhooks of Mailgun, SendGrid, Postmark and Amazon SES, mailboxes over IMAP, sending over SMTP."""
