-- What all tenants share: their tables refer to it.
CREATE TABLE public.plans (
    code text PRIMARY KEY,
    name text NOT NULL,
    monthly numeric(10,2) NOT NULL CHECK (monthly >= 0));
INSERT INTO public.plans VALUES
    ('starter', 'Starter', 19.00), ('standard', 'Standard', 89.00), ('premium', 'Premium', 349.00),
    ('enterprise', 'Enterprise', 1490.00);

CREATE TABLE public.countries (
    code char(2) PRIMARY KEY,
    name text NOT NULL,
    currency char(3) NOT NULL);
INSERT INTO public.countries VALUES
    ('AT', 'Österreich', 'EUR'), ('BR', 'Brasil', 'BRL'), ('CH', 'Schweiz', 'CHF'), ('DE', 'Deutschland', 'EUR'),
    ('ES', 'España', 'EUR'), ('FR', 'France', 'EUR'), ('GB', 'United Kingdom', 'GBP'), ('JP', '日本', 'JPY'),
    ('KR', '대한민국', 'KRW'), ('NL', 'Nederland', 'EUR'), ('PL', 'Polska', 'PLN'), ('US', 'United States', 'USD');

CREATE TABLE public.tenants (
    slug text PRIMARY KEY,
    name text NOT NULL,
    plan text NOT NULL REFERENCES public.plans,
    created_at timestamptz NOT NULL);
